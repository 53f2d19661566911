"""Texts as rows of bytes, and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clonecost.data.text_rows import (
    bytes_of,
    characters,
    clean,
    decode,
    encode,
    must_be_texts,
)
from clonecost.errors import DataError, QueryError
from clonecost.types import as_pixels

anything = st.lists(st.text(max_size=30), min_size=1, max_size=5)


@given(anything)
def test_every_clean_text_comes_back_from_either_form(found: list[str]) -> None:
    texts = [clean(text) for text in found]
    rows = encode(texts, bytes_of(texts))
    assert decode(rows) == decode(as_pixels(rows)) == texts
    assert characters(rows) == characters(as_pixels(rows)) == sum(map(len, texts))
    must_be_texts(as_pixels(rows))


def test_a_long_text_is_refused_or_cut_after_a_whole_character() -> None:
    with pytest.raises(DataError, match=r"row 2 is longer .*: got 6 bytes, want 4"):
        encode(["abcd", "ab€x"], 4)
    assert decode(encode(["abcd", "ab€x"], 4, cut=True)) == ["abcd", "ab"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [([0.5, 0.0], "no byte"), ([0.0, 97 / 255], "within"), ([255 / 255, 0.0], "no texts: 'utf-8'"),
     ([float("nan"), 0.0], "no byte")],
)  # fmt: skip
def test_rows_that_are_no_texts_are_refused(row: list[float], reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        must_be_texts(torch.tensor([row]))
