"""A request is refused by its size before objects are made of it, and never within its limits."""

import json
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.memory import at_most
from tests.support.toys import uniform

from clonecost.serving import Limits, ServedModel
from clonecost.serving.limits import JsonCount, Memory
from clonecost.serving.protocol import RefusedError, decode
from clonecost.types import PredictionApi

shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


def model_of(shape: tuple[int, ...]) -> ServedModel:
    api = PredictionApi(input_shape=shape, num_classes=2)
    return ServedModel(name="toy", victim=uniform(2), api=api)


def request(shape: tuple[int, ...], data: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": shape, "data": data}]}


@given(shapes, st.integers(1, 9), st.booleans(), st.integers(1, 50))
def test_the_largest_request_passes(
    shape: tuple[int, ...], rows: int, nested: bool, chunk: int
) -> None:
    values = np.zeros((rows, *shape), dtype=np.float32)
    data = values.tolist() if nested else values.ravel().tolist()
    body = json.dumps({"id": "a", "parameters": {}, **request(values.shape, data)}).encode()
    count = JsonCount(model_of(shape).api, rows)
    for at in range(0, len(body), chunk):
        count.add(body[at : at + chunk])
    _, inputs = decode(bytearray(body), None, model_of(shape), rows)
    assert inputs.shape == values.shape


WORD = json.dumps("x" * 33_000)
BOMBS = {
    "one long word among many": f"[{WORD}{', 1' * 11_000}]",
    "a long word and short ones": f"[{WORD}" + ', "a"' * 6_000 + "]",
    "lists": f"[{','.join(['[]'] * 20_000)}]",
    "nested lists": "[" * 30_000 + "]" * 30_000,
    "objects": f"[{','.join(['{}'] * 20_000)}]",
    "values": f"[{','.join(['1'] * 30_000)}]",
    "one long number": f"[{'1' * 60_000}]",
    "one deep list": "[" * 180 + "1" + "]" * 180,
    "lists of different depth": f"[{'[' * 90 + ']' * 90}, {'[' * 70 + '1' + ']' * 70}]",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("shape", [(2, 64, 64), (4,)])
def test_66_kb_of_json_cost_little_memory(bomb: str, shape: tuple[int, ...]) -> None:
    body = json.dumps(request((1, *shape), 0)).replace(": 0}", f": {BOMBS[bomb]}}}").encode()
    model, count = model_of(shape), JsonCount(model_of(shape).api, 1024)
    with at_most(200_000 + 100 * len(body)), pytest.raises(RefusedError) as refused:
        count.add(body)
        decode(bytearray(body), None, model, 1024)
    assert refused.value.status in (400, 413)


def test_too_many_values_are_one_sentence() -> None:
    count = JsonCount(PredictionApi(input_shape=(3, 2, 2), num_classes=2), 10)
    with pytest.raises(RefusedError, match=r"too many values .*want at most 10 rows of 12 values"):
        count.add(b"0," * 1000)


@given(st.lists(st.lists(st.integers(0, 60), max_size=4), max_size=30), st.integers(1, 100))
def test_no_more_is_held_than_the_limit_and_all_is_given_back(
    requests: list[list[int]], limit: int
) -> None:
    memory = Memory(limit)
    for steps in requests:
        with memory.share() as share:
            for step in steps:
                with pytest.raises(RefusedError) if step > limit else nullcontext():
                    share.hold(step)
                assert share.held <= limit
    with memory.share() as share:
        share.hold(limit)
        with memory.share() as other, pytest.raises(RefusedError, match="as many requests as it"):
            other.hold(1)


@pytest.mark.parametrize("field", ["max_connections", "timeout"])
def test_limits_say_the_largest_parts(field: str) -> None:
    limits = Limits(max_bytes=100, timeout=3)
    assert (limits.head_seconds, Limits().head_seconds, limits.held_bytes) == (3, 10, 400)
    with pytest.raises(Exception, match="want a number above 0"):
        Limits(**{field: 0})
