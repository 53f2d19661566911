"""Whatever a model hands back, its scores are found, or one sentence lists what is in it."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.safe_text import first_line
from clonecost.victims.raw_scores import Wanted, raw_scores
from clonecost.victims.torch_model import callable_scores

Pair = namedtuple("Pair", "loss logits")


@dataclass
class Output:
    loss: Tensor | None
    logits: Tensor
    hidden: tuple[Tensor, ...] = ()


def quantised(scores: Tensor) -> Tensor:
    return torch.quantize_per_tensor(scores, 2**-10, 0, torch.qint32)


WRAPS: dict[str, Callable[[Tensor], object]] = {
    "tensor": lambda s: s,
    "array": lambda s: s.numpy(),
    "lists": lambda s: s.tolist(),
    "list of rows": lambda s: list(s),
    "one-element tuple": lambda s: (s,),
    "one-element list": lambda s: [s],
    "loss first": lambda s: (torch.tensor(0.5), s),
    "None beside it": lambda s: (s, None),
    "mapping": lambda s: {"logits": s, "features": torch.rand(len(s), 9)},
    "mapping of one": lambda s: {"anything": s},
    "named tuple": lambda s: Pair(torch.tensor(0.5), s),
    "dataclass": lambda s: Output(None, s, (torch.rand(len(s), 4),)),
    "object": lambda s: SimpleNamespace(logits=s),
    "quantised": quantised,
    "sparse": Tensor.to_sparse,
    "pooled image": lambda s: s[:, :, None, None],
    "float16 array": lambda s: s.half().numpy(),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("name", WRAPS)
@given(rows=st.integers(1, 6), columns=st.integers(2, 6), seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_scores_are_found_in_every_wrapping(name: str, rows: int, columns: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2048, 2048, (rows, columns), generator=rng) / 1024
    found = raw_scores(WRAPS[name](scores), rows)
    torch.testing.assert_close(found.float(), scores, atol=2e-3, rtol=0)


@pytest.mark.parametrize("rows", [1, 3])
def test_one_number_a_row_is_a_column(rows: int) -> None:
    assert raw_scores(torch.arange(rows), rows).shape == (rows, 1)
    assert raw_scores([0.5] * rows, rows).shape == (rows, 1)
    assert raw_scores(torch.tensor(0.5), 1).shape == (1, 1)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, 3)), "item 0 (2, 3), item 1 (2, 3)"),
        ({"a": torch.zeros(2, 3), "b": torch.zeros(2, 4)}, "got dict with a (2, 3), b (2, 4)"),
        ({}, "got dict with nothing in it"),
        (None, "got NoneType"),
        (["cat", "dog"], "answers with words: got 'cat'"),
        (np.array(["cat", "dog"], object), "answers with words: got 'cat'"),
        (torch.zeros(2, 3, 4), "got (2, 3, 4), want (2, K)"),
        (torch.zeros(3, 2), "got (3, 2), want (2, K)"),
        (torch.zeros(2, 0), "got (2, 0), want (2, K)"),
        ([[1.0], [1.0, 2.0]], "got list"),
    ],
)
def test_anything_else_is_one_sentence_that_lists_it(output: object, sentence: str) -> None:
    with pytest.raises(VictimError) as refused:
        raw_scores(output, 2)
    assert sentence in str(refused.value)


def test_texts_of_a_victims_own_errors_are_cut() -> None:
    def fails(inputs: Tensor) -> Tensor:
        raise RuntimeError("\n \n" + "x" * 900 + "\nsecond line")

    with pytest.raises(VictimError) as refused:
        callable_scores(fails)(torch.rand(2, 3))
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)
    assert len(first_line(ValueError("y" * 500))) == 200
    assert first_line(KeyError()) == "KeyError"


def test_no_rows_have_no_scores_in_a_tuple_too() -> None:
    found = raw_scores((torch.zeros(0, 3), torch.tensor(0.5)), 0)
    assert found.shape == (0, 3)


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ((torch.zeros(2, 3), torch.ones(2, 64)), Wanted(columns=3)),
        ({"a": torch.zeros(2, 3), "b": torch.ones(2, 4)}, Wanted(columns=3)),
        ({"logits": torch.ones(2, 4), "heads": torch.zeros(2, 3)}, Wanted("heads")),
        (SimpleNamespace(logits=torch.ones(2, 4), heads=torch.zeros(2, 3)), Wanted("heads", 4)),
    ],
)
def test_the_owners_name_and_the_classes_tell_fields_apart(output: object, wanted: Wanted) -> None:
    assert torch.equal(raw_scores(output, 2, wanted), torch.zeros(2, 3))


def test_a_field_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(VictimError, match=r"nothing by the name .*got a, b, want heads"):
        raw_scores({"a": torch.zeros(2, 3), "b": torch.ones(2, 4)}, 2, Wanted("heads"))
