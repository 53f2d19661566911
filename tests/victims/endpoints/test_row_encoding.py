"""Rows as the server reads them: the same rows come out of a server's own encoder."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.toy_endpoint import Start, reach

from clonecost.errors import SpecError, VictimError
from clonecost.types import Feature
from clonecost.victims.endpoints.row_encoding import as_numbers, row_encoding, sent_values
from clonecost.victims.input_form import InputForm

words = st.lists(st.text("abc", min_size=1), min_size=2, max_size=4, unique=True)
numbers = st.lists(st.integers(-5, 99), min_size=2, max_size=4, unique=True)
columns = st.lists(st.none() | words | numbers, min_size=1, max_size=4)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Feature], list[list[Any]], torch.Tensor]:
    """Features, rows with the values that a person means, and the rows as an audit has them."""
    kinds = draw(columns)
    features = [
        Feature(name=f"x{k}", low=0, high=9) if kind is None
        else Feature(name=f"x{k}", categories=tuple(map(str, kind)))
        for k, kind in enumerate(kinds)
    ]  # fmt: skip
    meant: list[list[Any]] = []
    sent = []
    for _ in range(draw(st.integers(1, 3))):
        places = [draw(st.integers(0, len(kind) - 1 if kind else 9)) for kind in kinds]
        meant.append([kind[k] if kind else float(k) for kind, k in zip(kinds, places, strict=True)])
        sent.append(places)
    return features, meant, torch.tensor(sent, dtype=torch.float32)


@given(tables())
def test_a_list_and_a_record_hold_the_values_that_are_meant(
    case: tuple[list[Feature], list[list[Any]], torch.Tensor],
) -> None:
    features, meant, sent = case
    listed = row_encoding("array", InputForm(), (len(features),), features).values(sent)
    assert listed == meant
    records = row_encoding("record", InputForm(), (len(features),), features).values(sent)
    assert [list(record.values()) for record in records] == meant


@given(tables())
def test_one_hot_columns_are_those_of_an_encoder(
    case: tuple[list[Feature], list[list[Any]], torch.Tensor],
) -> None:
    features, meant, sent = case
    own = [
        np.concatenate([
            [float(value == one) for one in sent_values(feature)] if feature.categories else [value]
            for feature, value in zip(features, row, strict=True)
        ])
        for row in meant
    ]  # fmt: skip
    np.testing.assert_array_equal(as_numbers(sent, features, "one_hot"), own)
    np.testing.assert_array_equal(as_numbers(sent, features, "codes"), sent.double())


def test_a_missing_value_is_null() -> None:
    features = [Feature(name="a"), Feature(name="b", categories=("x", "y"))]
    rows = torch.tensor([[float("nan"), float("nan")]])
    assert row_encoding("array", InputForm(), (2,), features).values(rows) == [[None, None]]
    one_hot = row_encoding("one_hot", InputForm(), (2,), features).values(rows)
    assert one_hot == [[None, None, None]]


COLUMNS = (Feature(name="age", low=0, high=9), Feature(name="colour", categories=("red", "green")))
OUT = [{"name": "scores", "datatype": "FP64", "shape": [-1, 6], "parameters": None}]


def test_words_are_sent_to_an_inference_server_only_as_the_owner_says(start: Start) -> None:
    metadata = {"name": None, "platform": None, "versions": None, "outputs": OUT,
                "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 3]}]}  # fmt: skip
    server = start(metadata=metadata, shape=[3], binary=False, model=lambda x: x.repeat(1, 2) / 4)
    how: dict[str, Any] = {"input_shape": (2,), "features": COLUMNS}
    with pytest.raises(VictimError, match=r"are words: colour.*encoding='one_hot'"):
        reach(server, **how)
    with pytest.raises(SpecError, match="which takes numbers: got 'record'"):
        reach(server, settings={"encoding": "record"}, **how)
    victim = reach(server, settings={"encoding": "one_hot"}, **how)
    victim.answer(torch.tensor([[1.0, 1.0]]))
    assert server.bodies[0]["inputs"][0]["data"] == [1, 0, 1]
    assert "categories as one-hot columns" in victim.served
