"""Messages are written and read without loss, in every type, binary and JSON; bad frames fail."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clonecost.victims.endpoints.wire import (
    BINARY,
    DTYPES,
    HEAD_LENGTH,
    JSON,
    FrameError,
    InferenceRequest,
    InferenceResponse,
    WireTensor,
    pack,
    read,
    unpack,
    write,
)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(arrays.array_shapes(max_dims=4, min_side=0, max_side=4))
    return datatype, draw(arrays.arrays(DTYPES[datatype], shape))


@given(tensors(), st.booleans(), st.sampled_from(["request", "response"]))
def test_a_message_is_written_and_read_without_loss(
    sent: tuple[str, np.ndarray[Any, Any]], binary: bool, way: str
) -> None:
    datatype, values = sent
    tensor, raw = pack("x", datatype, values, binary=binary)
    message: InferenceRequest | InferenceResponse
    if way == "request":
        message = InferenceRequest(id="seven", inputs=[tensor])
    else:
        message = InferenceResponse(model_name="toy", outputs=[tensor])
    body, headers = write(message, raw)
    assert headers["Content-Type"] == (BINARY if binary else JSON)
    length = headers.get(HEAD_LENGTH)
    assert (length is not None) == binary
    head_length = None if length is None else int(length)
    found: InferenceRequest | InferenceResponse
    if way == "request":
        found, (part,) = read(InferenceRequest, body, head_length)
    else:
        found, (part,) = read(InferenceResponse, body, head_length)
    assert found == message
    got = unpack(found.tensors[0], part, nulls=True)
    assert (got.dtype, got.shape) == (DTYPES[datatype], values.shape)
    assert got.flags.aligned
    assert got.flags.writeable
    np.testing.assert_array_equal(got, values)


@given(tensors(), tensors())
def test_one_body_holds_parts_in_binary_and_in_json(
    one: tuple[str, np.ndarray[Any, Any]], two: tuple[str, np.ndarray[Any, Any]]
) -> None:
    packed = [
        pack("one", *one, binary=True), pack("json", *two, binary=False),
        pack("two", *two, binary=True),
    ]  # fmt: skip
    head = InferenceResponse(outputs=[tensor for tensor, _ in packed]).model_dump_json().encode()
    body = head + b"".join(raw for _, raw in packed if raw is not None)
    message, parts = read(InferenceResponse, body, len(head))
    for tensor, part, (_, values) in zip(message.outputs, parts, [one, two, two], strict=True):
        np.testing.assert_array_equal(unpack(tensor, part, nulls=True), values)


@given(tensors(), st.integers(min_value=-40, max_value=40).filter(bool))
def test_a_body_of_another_length_is_refused(
    sent: tuple[str, np.ndarray[Any, Any]], more: int
) -> None:
    tensor, raw = pack("x", *sent, binary=True)
    assert raw is not None
    body, headers = write(InferenceRequest(inputs=[tensor]), raw)
    changed = body + b"\0" * more if more > 0 else body[:more]
    with pytest.raises(FrameError):
        read(InferenceRequest, changed, int(headers[HEAD_LENGTH]))


@given(st.binary(max_size=200), st.none() | st.integers(min_value=-5, max_value=250))
def test_any_bytes_are_read_or_refused(body: bytes, head_length: int | None) -> None:
    with pytest.raises(FrameError) as refused:
        read(InferenceRequest, body, head_length)
    assert "\n" not in str(refused.value)


def framed(head: object, rest: bytes = b"") -> tuple[bytes, int]:
    written = json.dumps({"outputs": [head]}).encode()
    return written + rest, len(written)


TENSOR = {"name": "x", "datatype": "FP32", "shape": [2]}
STATED = {"parameters": {"binary_data_size": 8}}


@pytest.mark.parametrize(
    ("head", "rest", "sentence"),
    [
        ({**TENSOR, "shape": [-1]}, b"", "inference response: outputs.0.shape.0"),
        ({**TENSOR, "data": 1}, b"", "inference response: outputs.0.data"),
        (TENSOR, b"", "'x' has no data"),
        (TENSOR, b"12345678", "binary_data_size states 0 bytes, 8 follow"),
        ({**TENSOR, **STATED}, b"1234", "binary_data_size states 8 bytes, 4 follow"),
        ({**TENSOR, **STATED, "data": [1, 2]}, b"12345678", "has data in JSON, and a binary_data"),
        ({**TENSOR, "parameters": {"binary_data_size": "8"}}, b"", "no number of bytes: '8'"),
        ({**TENSOR, "parameters": {"binary_data_size": -8}}, b"", "no number of bytes: -8"),
        ({**TENSOR, "parameters": {"binary_data_size": True}}, b"1", "no number of bytes: True"),
        ({**TENSOR, **STATED, "shape": [3]}, b"12345678", "shape [3] in FP32: got 8, want 12"),
        ({**TENSOR, "datatype": "BYTES", "data": ["a", "b"]}, b"", "got 'BYTES', want one of FP32"),
        ({**TENSOR, "data": [1]}, b"", "'x' do not fit its shape [2]: got 1 numbers, want 2"),
        ({**TENSOR, "data": [1, None]}, b"", "not an array of numbers"),
        ({**TENSOR, "data": ["1", "2"]}, b"", "not an array of numbers"),
        ({**TENSOR, "data": [True, False]}, b"", "not an array of numbers"),
        ({**TENSOR, "data": [[1], [2, 3]]}, b"", "not an array of numbers"),
        ({**TENSOR, "data": [10**40, 1]}, b"", "not an array of numbers"),
        ({**TENSOR, "datatype": "UINT8", "data": [1, 256]}, b"", "not all of type UINT8"),
        ({**TENSOR, "datatype": "INT64", "data": [1, 0.5]}, b"", "not all of type INT64"),
    ],
)
def test_a_bad_frame_is_one_clear_sentence(
    head: dict[str, Any], rest: bytes, sentence: str
) -> None:
    with pytest.raises(FrameError) as refused:
        message, (part,) = read(InferenceResponse, *framed(head, rest))
        unpack(message.outputs[0], part)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_value_is_read_where_it_is_expected_only() -> None:
    tensor = WireTensor(name="x", datatype="FP64", shape=[2], data=[None, 0.5])
    np.testing.assert_array_equal(unpack(tensor, None, nulls=True), [np.nan, 0.5])
    with pytest.raises(FrameError, match="not an array of numbers"):
        unpack(tensor, None)


def test_a_number_too_large_for_its_type_is_infinite() -> None:
    tensor = WireTensor(name="x", datatype="FP32", shape=[1], data=[1e300])
    assert unpack(tensor, None) == [np.inf]


def test_numbers_as_texts_take_no_more_memory_than_their_words() -> None:
    data = ["0.5"] * 2_000 + ["1" + "0" * 20_000]  # as an array of text: 160 MB
    tensor = WireTensor(name="x", datatype="FP64", shape=[2_001], data=data)
    tracemalloc.start()
    try:
        values = unpack(tensor, None, texts=True)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert values[:2_000].tolist() == [0.5] * 2_000
    assert most < 5_000_000


@pytest.mark.parametrize("data", [["0.5", 10**400], ["0.5", "cat"], [["1"], ["2", "3"]]])
def test_texts_beside_what_is_no_number_are_refused(data: list[Any]) -> None:
    tensor = WireTensor(name="x", datatype="FP64", shape=[2], data=data)
    with pytest.raises(FrameError, match="not an array of numbers"):
        unpack(tensor, None, texts=True)


def test_a_body_in_json_is_not_copied() -> None:
    tensor, raw = pack("x", "FP32", np.ones(3), binary=False)
    body = bytearray(write(InferenceRequest(inputs=[tensor]), raw)[0] + b" " * 2_000_000)
    tracemalloc.start()
    try:
        message, _ = read(InferenceRequest, body, None)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(body) // 2
    assert message.inputs == [tensor]
