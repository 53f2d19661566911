"""Answers under the Open Inference Protocol: fields, types and shapes as servers send them."""

import gzip
import json
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.victims.endpoints import wire
from clonecost.victims.endpoints.tensor_answers import TensorAnswers

URL = "http://127.0.0.1:1/v2/models/toy/infer"
OPTIONAL: dict[str, list[Any]] = {  # of an answer; each may be absent, too
    "id": [None, "", "7"], "parameters": [None, {}, {"x": 1}], "model_name": [None, "", "toy"],
    "model_version": [None, "", "1"], "raw_output_contents": [None, []], "error": [None, ""],
}  # fmt: skip
OF_TENSOR: dict[str, list[Any]] = {"parameters": [None, {}, {"binary_data_size": None}]}


def answers(**how: Any) -> TensorAnswers:
    chosen: dict[str, Any] = {"output": "scores", "classes": (), "num_classes": 3, "stated": None,
                              "exact": True}  # fmt: skip
    return TensorAnswers(url=URL, quote=lambda text, length: text[:length], **chosen | how)


def respond(document: Any, raw: bytes | None = None) -> httpx2.Response:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {wire.HEAD_LENGTH: str(len(content))} if raw is not None else {}
    return httpx2.Response(200, headers=headers, content=content + (raw or b""))


@st.composite
def optional(draw: st.DrawFn, fields: dict[str, list[Any]]) -> dict[str, Any]:
    keys = draw(st.sets(st.sampled_from(list(fields))))
    return {key: draw(st.sampled_from(fields[key])) for key in keys}


@st.composite
def responses(draw: st.DrawFn) -> tuple[Tensor, httpx2.Response]:
    """(rows, 3) scores, and one of the ways in which a server writes them."""
    rows = draw(st.integers(1, 4))
    parts = draw(st.lists(st.integers(0, 8), min_size=3 * rows, max_size=3 * rows))
    scores = np.array(parts, np.float64).reshape(rows, 3) / 8  # exact in every type
    shape = draw(st.sampled_from([
        [rows, 3], [rows, 3, 1, 1], [1, rows, 3], *([[3]] if rows == 1 else []),
    ]))  # fmt: skip
    datatype = draw(st.sampled_from(["FP32", "FP64", "FP16"]))
    tensor: dict[str, Any] = {"name": "scores", "datatype": datatype, "shape": shape}
    tensor |= draw(optional(OF_TENSOR))
    raw = None
    if draw(st.booleans()):
        raw = scores.astype(wire.DTYPES[datatype]).tobytes()
        tensor["parameters"] = {"binary_data_size": len(raw)}
        tensor |= draw(optional({"data": [None, []]}))
    else:
        shaped = scores.reshape(shape) if draw(st.booleans()) else scores.ravel()
        if draw(st.booleans()):
            shaped = shaped.astype(str)
        tensor["data"] = shaped.tolist()
    other = {"name": "extra", "datatype": "BYTES", "shape": [0], "data": [], "parameters": None}
    tensors = [tensor, *([other] if draw(st.booleans()) else [])]
    document: Any = {**draw(optional(OPTIONAL)), "outputs": tensors}
    if raw is None and draw(st.booleans()):
        document = json.dumps(document)
    return torch.from_numpy(scores), respond(document, raw)


@settings(max_examples=300)
@given(responses())
def test_the_same_scores_however_they_are_written(case: tuple[Tensor, httpx2.Response]) -> None:
    scores, response = case
    torch.testing.assert_close(
        answers().read(response, len(scores)), scores, check_dtype=False, atol=0, rtol=0
    )


def labelled(kind: str, labels: list[Any], *, binary: bool) -> httpx2.Response:
    shape = [len(labels), 1] if kind != "BYTES" else [len(labels)]
    tensor: dict[str, Any] = {"name": "scores", "datatype": kind, "shape": shape}
    if not binary:
        return respond({"outputs": [tensor | {"data": labels, "parameters": None}]})
    raw = (
        b"".join(len(one).to_bytes(4, "little") + one.encode() for one in map(str, labels))
        if kind == "BYTES"
        else np.array(labels, wire.DTYPES[kind]).tobytes()
    )
    tensor["parameters"] = {"binary_data_size": len(raw)}
    return respond({"outputs": [tensor]}, raw)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.booleans(),
       st.sampled_from(["BYTES", "FP32", "FP64", "INT64", "INT8", "UINT32"]),
       st.sampled_from([("1", "2", "3"), ("ant", "bee", "cat"), ("-1", "0", "2")]))  # fmt: skip
def test_labels_of_every_type_are_found_by_value(
    places: list[int], binary: bool, kind: str, classes: tuple[str, ...]
) -> None:
    if classes[0] == "ant" and kind != "BYTES":
        classes = ("0", "1", "2")
    if classes[0] == "-1" and kind == "UINT32":
        return
    labels: list[Any] = [classes[k] for k in places]
    if kind != "BYTES":
        labels = [int(one) for one in labels]
    found = answers(classes=classes)
    scores = found.read(labelled(kind, labels, binary=binary), len(places))
    assert scores.argmax(1).tolist() == places
    assert scores.shape == (len(places), 3)
    assert found.shows == ("label", None)


def test_an_unknown_label_stops_with_both_sides() -> None:
    for kind, label in (("BYTES", "eel"), ("INT64", 9)):
        with pytest.raises(VictimError, match=rf"no classes: {label}\. The classes are 1, 2, 3\."):
            answers(classes=("1", "2", "3")).read(labelled(kind, [label], binary=False), 1)


@pytest.mark.parametrize("label", [2**63, 2**64 - 1, 2**64 - 2])
def test_a_label_beyond_int64_keeps_its_value_in_the_refusal(label: int) -> None:
    for classes in ((), ("0", "1", "2")):
        found = answers(num_classes=3, classes=classes)
        with pytest.raises(VictimError, match=str(label)):
            found.read(labelled("UINT64", [label], binary=True), 1)


def test_one_number_a_row_stays_one() -> None:
    tensor = {"name": "scores", "datatype": "FP32", "shape": [3], "data": [0.25, 0.5, 1]}
    assert answers(num_classes=2).read(respond({"outputs": [tensor]}), 3).shape == (3, 1)


def one_each(values: list[float]) -> httpx2.Response:
    tensor = {"name": "scores", "datatype": "FP32", "shape": [len(values), 1], "data": values}
    return respond({"outputs": [tensor]})


@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=4), min_size=1,
                max_size=6), st.booleans())  # fmt: skip
def test_one_number_a_row_stays_what_the_first_answer_shows(
    requests: list[list[float]], stated: bool
) -> None:
    found = answers(classes=("0", "1"), num_classes=2, kinds={"scores"} if stated else set())
    of_scores = stated or 0.25 in requests[0]
    for values in requests:
        if not of_scores and 0.25 in values:
            with pytest.raises(VictimError, match=r"with classes so far.*outputs='sigmoid'"):
                found.read(one_each(values), len(values))
            continue
        got = found.read(one_each(values), len(values))
        if of_scores:
            assert got.tolist() == [[value] for value in values]
        else:
            assert got.argmax(1).tolist() == values
            assert got.shape == (len(values), 2)
    assert (found.shows == ("label", None)) == (not of_scores and 0.25 not in requests[0])


@given(st.sampled_from(["absent", "null", "empty"]), st.booleans())
def test_an_error_under_success_is_quoted(left: str, twice: bool) -> None:
    document: Any = {"error": "model toy ran out of memory"}
    if left != "absent":
        document["outputs"] = None if left == "null" else []
    with pytest.raises(VictimError, match=r"200, but with an error .*: model toy ran out of mem"):
        answers().read(respond(json.dumps(document) if twice else document), 2)


UNREADABLE: list[tuple[Any, str]] = [
    (b"<html>", "is no inference response"),
    ({"outputs": [{"name": "other", "datatype": "FP32", "shape": [1], "data": [1]}]}, "missing"),
    ({"outputs": [{"name": "scores", "datatype": "FP32", "shape": [2, 3], "data": None}]},
     "has no data"),
    ({"outputs": [{"name": "scores", "datatype": "FP32", "shape": [2, 3], "data": ["a"] * 6}]},
     "not an array of numbers"),
    ({"outputs": [{"name": "scores", "datatype": "FP32", "shape": [4, 3], "data": [0.5] * 12}]},
     r"wrong shape: got \(4, 3\)"),
    ({"outputs": [{"name": "scores", "datatype": "BYTES", "shape": [2], "data": [None, {}]}]},
     "not texts"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "sentence"), UNREADABLE)
def test_what_cannot_be_read_is_one_sentence(document: Any, sentence: str) -> None:
    with pytest.raises(VictimError, match=sentence) as failed:
        answers().read(respond(document), 2)
    assert "\n" not in str(failed.value)


def test_a_compressed_answer_of_bytes() -> None:
    tensor = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 0.25, 0.25]}
    content = gzip.compress(json.dumps({"outputs": [tensor]}).encode())
    response = httpx2.Response(200, headers={"content-encoding": "gzip"}, content=content)
    assert answers().read(response, 1).tolist() == [[0.5, 0.25, 0.25]]
