"""Attacks that promise the victim itself say when they did not deliver, and only then."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.table_runs import steal
from tests.support.table_toys import TableToy, linear_toy, numbers, tree_toy
from torch import Tensor

from clonecost.attacks import Attack
from clonecost.attacks.lowd_meek import LowdMeek
from clonecost.attacks.tramer_tree import TramerTree
from clonecost.attacks.tramer_tree_top_down import TramerTreeTopDown
from clonecost.types import AnswerKind


def bowl(rows: Tensor, /) -> Tensor:
    """Class 1 around the origin, in steps: neither a tree of few leaves nor a hyperplane."""
    inside = (rows.double() ** 2).sum(1) < 0.8
    p = torch.where(inside, 0.9, 0.2).double()
    return torch.stack([1 - p, p], 1)


BOWL = TableToy(numbers(2), 2, bowl)
TREE = replace(tree_toy(numbers(3), leaves=3), incomplete=True)
LINE = linear_toy(numbers(3), 2)


def said(
    attack: Attack, toy: TableToy, tmp_path: Path, answers: AnswerKind = "probs",
    budget: int = 100_000,
) -> tuple[str, int]:  # fmt: skip
    remarks = [""]
    _, spent = steal(
        attack, toy, tmp_path, answers=answers, budget=budget, remark=remarks.append
    )  # fmt: skip
    return remarks[-1], spent


def test_a_right_clone_has_no_remark_and_is_checked_on_a_few_rows(tmp_path: Path) -> None:
    for attack, toy, answers in (
        (TramerTree, TREE, "probs"), (TramerTreeTopDown, TREE, "probs"), (LowdMeek, LINE, "label"),
    ):  # fmt: skip
        remark, spent = said(attack(checks=30), toy, tmp_path, answers)  # type: ignore[arg-type]
        assert remark == ""
        assert said(attack(checks=0), toy, tmp_path, answers) == ("", spent - 30)  # type: ignore[arg-type]


def test_a_victim_of_another_kind_is_told_with_the_attacks_that_fit(tmp_path: Path) -> None:
    remark, _ = said(TramerTree(epsilon=0.1), BOWL, tmp_path)
    assert "another class than the victim" in remark
    assert "tramer_mlp" in remark
    remark, _ = said(LowdMeek(), BOWL, tmp_path, "label")
    assert "no linear model" in remark
    assert "tramer_adaptive_retrain" in remark


@pytest.mark.parametrize("attack", [TramerTree(), TramerTreeTopDown(), LowdMeek()])
def test_a_budget_that_ends_within_the_walk_is_told(attack: Attack, tmp_path: Path) -> None:
    toy, answers = (LINE, "label") if isinstance(attack, LowdMeek) else (TREE, "probs")
    remark, spent = said(attack, toy, tmp_path, answers, budget=20)  # type: ignore[arg-type]
    assert "The budget ended" in remark
    assert spent == 20


def test_the_check_takes_no_more_than_the_budget_has_left(tmp_path: Path) -> None:
    _, walk = said(TramerTree(checks=0), TREE, tmp_path)
    remark, spent = said(TramerTree(), TREE, tmp_path, budget=walk + 7)
    assert (remark, spent) == ("", walk + 7)
