import torch

from clonecost.query_synthesis.breeding import (
    LEAST,
    OF_ONE_CLASS,
    any_pairs,
    lacks,
    pairs_for_lacking_classes,
)

PAIRS = 20_000
# 60, 30 and 10 rows of the classes 0, 1 and 2; the victim is sure of every second row
LABELS = torch.arange(3).repeat_interleave(torch.tensor([60, 30, 10]))
SURE = torch.where(torch.arange(100) % 2 == 0, 0.9, 0.5)
ANSWERS = torch.full((100, 3), 0.0).scatter(1, LABELS[:, None], SURE[:, None])
ANSWERS += (1 - ANSWERS.sum(1, keepdim=True)) / 3


def shares(rows: torch.Tensor) -> torch.Tensor:
    return LABELS[rows].bincount(minlength=3) / len(rows)


def test_what_a_class_lacks_fills_it_up_and_a_full_one_keeps_the_least() -> None:
    torch.testing.assert_close(lacks(ANSWERS, 20), torch.tensor([LEAST * 20, 10, 30]))


def test_classes_are_drawn_by_what_they_lack() -> None:
    first, _ = pairs_for_lacking_classes(ANSWERS, PAIRS, 20, torch.Generator().manual_seed(0))
    wanted = lacks(ANSWERS, 20)
    torch.testing.assert_close(shares(first), wanted / wanted.sum(), atol=0.02, rtol=0)


def test_rows_that_the_victim_is_sure_of_are_drawn_more_often() -> None:
    first, _ = pairs_for_lacking_classes(ANSWERS, PAIRS, 20, torch.Generator().manual_seed(0))
    assert (first % 2 == 0).float().mean() > 0.7


def test_half_of_the_pairs_are_of_one_class_beside_those_that_meet_by_chance() -> None:
    first, second = pairs_for_lacking_classes(ANSWERS, PAIRS, 20, torch.Generator().manual_seed(0))
    by_chance = float((shares(first) ** 2).sum())
    alike = float((LABELS[first] == LABELS[second]).float().mean())
    assert abs(alike - OF_ONE_CLASS - (1 - OF_ONE_CLASS) * by_chance) < 0.02


def test_a_class_without_rows_and_one_row_are_no_obstacle() -> None:
    first, second = pairs_for_lacking_classes(
        torch.eye(3)[:1], 10, 20, torch.Generator().manual_seed(0)
    )
    assert not first.any()
    assert not second.any()


def test_otherwise_all_classes_are_equally_frequent_parents() -> None:
    first, second = any_pairs(ANSWERS, PAIRS, torch.Generator().manual_seed(0), several=False)
    for rows in (first, second):
        torch.testing.assert_close(shares(rows), torch.full((3,), 1 / 3), atol=0.02, rtol=0)
