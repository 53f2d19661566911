"""The head that `text_knockoff:embedding` finds."""

import torch
from torch import Tensor

from clonecost.attacks.text_knockoff import head_of
from clonecost.text.embedding_model import fit_head
from clonecost.types import AnswerKind, no_progress


def drawn(count: int, features: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    embedded = torch.randn(count, features, generator=rng)
    return torch.nn.functional.normalize(embedded, dim=1), torch.randn(features, 3, generator=rng)


def test_a_private_head_on_the_embedding_is_solved_for() -> None:
    embedded, weight = drawn(40, 8)
    answers = (9 * embedded @ weight).double().softmax(1)
    found = head_of(embedded, answers, "probs", no_progress)
    assert torch.allclose((embedded.double() @ found.weight + found.bias).softmax(1), answers)
    fitted = fit_head(embedded, answers)
    assert not torch.allclose(fitted.weight, found.weight)


def test_other_answers_are_fitted() -> None:
    embedded, weight = drawn(60, 8)
    curved = (9 * embedded.square() @ weight).double().softmax(1)
    cases: list[tuple[Tensor, AnswerKind]] = [
        (curved, "probs"), (torch.eye(3)[curved.argmax(1)], "label"),
    ]  # fmt: skip
    for answers, kind in cases:
        found = head_of(embedded, answers, kind, no_progress)
        assert torch.equal(found.weight, fit_head(embedded, answers).weight)
