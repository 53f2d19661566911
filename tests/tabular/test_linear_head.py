"""A softmax head is solved for exactly where its answers determine it, and estimated elsewhere."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.tabular.linear_head import pivoted_rows, solve_head
from clonecost.types import AnswerKind

D, CLASSES = 30, 6
RNG = torch.Generator().manual_seed(0)
MIX = torch.randn(D, D, generator=RNG).double()
WEIGHT = 0.3 * torch.randn(CLASSES, D, generator=RNG).double()
BIAS = torch.randn(CLASSES, generator=RNG).double()


def features(count: int) -> Tensor:
    rng = torch.Generator().manual_seed(count)
    return (torch.randn(count, D, generator=rng).double() @ MIX).relu()


def logits(rows: Tensor) -> Tensor:
    centred = rows - features(777).mean(0)
    return centred @ WEIGHT.T + BIAS


def agreement(rows: int, kind: AnswerKind, answers: Tensor, step: float) -> float:
    head = solve_head(features(rows), answers, kind, step=step)
    new = features(777)
    return float((head.logits(new).argmax(1) == logits(new).argmax(1)).double().mean())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_row_more_than_unknowns_gives_every_logit(dtype: torch.dtype) -> None:
    head = solve_head(features(D + 2), logits(features(D + 2)).softmax(1).to(dtype), "probs")
    errors = head.logits(features(99)) - logits(features(99))
    errors = errors - errors.mean(1, keepdim=True)  # softmax ignores what a row's logits share
    assert errors.abs().max() < (1e-8 if dtype == torch.float64 else 1e-2)
    assert head.explained > 1 - 1e-6
    assert head.held_out == 1


def test_fewer_rows_are_explained_in_part() -> None:
    head = solve_head(features(15), logits(features(15)).softmax(1), "probs")
    assert head.explained < 0.95
    assert torch.isfinite(head.weight).all()
    alone = solve_head(features(1), logits(features(1)).softmax(1), "probs")
    found = alone.logits(features(9)).softmax(1)
    torch.testing.assert_close(found[:1], logits(features(1)).softmax(1))


def test_features_of_another_backbone_explain_little() -> None:
    head = solve_head(torch.randn(90, D, generator=RNG), logits(features(90)).softmax(1), "probs")
    assert head.explained < 0.1


def test_rounded_and_top_answers_and_labels_give_more_with_more_rows() -> None:
    few, many = 40, 250
    least_of: dict[AnswerKind, float] = {"probs": 0.93, "top_k": 0.95, "label": 0.7}
    for kind, least in least_of.items():
        found = []
        for rows in (few, many):
            p, step = logits(features(rows)).softmax(1), 0.0
            if kind == "probs":
                p, step = (100 * p).round() / 100, 0.01
            elif kind == "top_k":
                p = p * (p >= p.topk(3, 1).values[:, 2:])
            else:
                p = F.one_hot(p.argmax(1), CLASSES).double()
            found.append(agreement(rows, kind, p / p.sum(1, keepdim=True), step))
        assert found[0] < found[1]
        assert found[1] > least


def test_the_fit_of_all_rows_goes_on_from_the_measured_one() -> None:
    rng = torch.Generator().manual_seed(2)
    mix = (10.0 ** (-2 * torch.arange(D) / D)).double().diag()  # as of a network's features
    mix = mix.T @ torch.randn(D, D, generator=rng).double()
    weight = torch.randn(CLASSES, D, generator=rng).double()
    rows, new = (torch.randn(n, D, generator=rng).double() @ mix for n in (int(1.2 * (D + 1)), 999))
    p = (100 * (rows @ weight.T).softmax(1)).round() / 100
    head = solve_head(rows, p / p.sum(1, keepdim=True), "probs", step=0.01)
    same = head.logits(new).argmax(1) == (new @ weight.T).argmax(1)
    assert same.double().mean() > 0.6  # from zeros it was 0.5


def test_pivoted_rows_span_the_space_and_repeat_none() -> None:
    rows = torch.cat([features(20), features(20), features(60)])
    chosen = pivoted_rows(rows, D + 1)
    assert len(chosen.unique()) == D + 1
    assert torch.linalg.matrix_rank(torch.cat([rows[chosen], torch.ones(D + 1, 1)], 1)) == D + 1
    assert sorted(pivoted_rows(rows, 200).tolist()) == list(range(100))
