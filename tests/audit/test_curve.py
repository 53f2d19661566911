"""Which clones the audit looks at, and what each of them knows."""

from collections.abc import Iterator

import torch
from tests.support.table_runs import Kept
from tests.support.table_runs import kit as table_kit
from torch import nn

from clonecost.attacks.base import AttackerKit, Clone, DeferredClone
from clonecost.audit.curve import follow
from clonecost.errors import BudgetError
from clonecost.types import ThreatModel


class Door:
    """An oracle that counts."""

    def __init__(self, budget: int) -> None:
        self.threat = ThreatModel(input_shape=(1,), num_classes=2, query_budget=budget)
        self.spent = 0

    def buy(self, rows: int) -> None:
        if self.spent + rows > self.threat.query_budget:
            raise BudgetError(requested=rows, spent=self.spent, budget=self.threat.query_budget)
        self.spent += rows


class Known(nn.Module):
    """A clone that says how many rows it was made from, and its first random number."""

    def __init__(self, rows: int, drawn: float = 0.0) -> None:
        super().__init__()
        self.rows, self.drawn = rows, drawn


def looked(
    clones: Iterator[Clone], door: Door, *milestones: int
) -> tuple[list[tuple[int, int]], nn.Module | None, str]:
    """(rows that the audit says, rows that the clone knows) of every look; the clone; the end."""
    looks: list[tuple[int, int]] = []

    class Looks(Kept):
        def look(self, clone: nn.Module, queries: int) -> None:
            super().look(clone, queries)
            assert isinstance(clone, Known)
            looks.append((queries, clone.rows))

    clone, ended = follow(clones, door, table_kit(100), milestones, Looks())  # type: ignore[arg-type]
    return looks, clone, ended


def test_with_copies_a_clone_knows_fewer_rows_than_were_paid() -> None:
    door = Door(100)
    looks: list[tuple[int, int]] = []

    class Looks(Kept):
        def look(self, clone: nn.Module, queries: int) -> None:
            super().look(clone, queries)
            assert isinstance(clone, Known)
            looks.append((queries, clone.rows))

    clones = rounds(door, 40)
    clone, _ = follow(clones, door, table_kit(100), (3, 10, 41), Looks(), repeats=4)  # type: ignore[arg-type]
    assert looks == [(8, 2), (40, 10), (80, 20)]  # 3 queries pay no row, 10 pay two
    assert isinstance(clone, Known)
    assert clone.rows == 20


def rounds(door: Door, size: int, *, exact: bool = True) -> Iterator[Clone]:
    def make(rows: int, kit: AttackerKit) -> nn.Module:
        return Known(rows, float(torch.rand(1, generator=kit.rng)))

    while True:
        door.buy(size)
        yield DeferredClone(make, exact=exact)


def test_a_round_that_passes_several_milestones_gives_the_clone_of_each() -> None:
    door = Door(100)
    looks, clone, ended = looked(rounds(door, 40), door, 3, 40, 41, 79)
    assert looks == [(3, 3), (40, 40), (41, 41), (79, 79), (80, 80)]
    assert isinstance(clone, Known)
    assert (clone.rows, ended) == (80, "budget_exhausted")  # a third round did not fit


def test_what_is_not_exact_is_scored_as_all_that_it_knows() -> None:
    door = Door(100)
    looks, _, _ = looked(rounds(door, 40, exact=False), door, 3, 40, 41)
    assert looks == [(40, 40), (80, 80)]


def test_a_clone_depends_on_its_rows_and_not_on_other_looks() -> None:
    drawn = []
    for milestones in ((3, 40), ()):
        door = Door(80)
        _, clone, _ = looked(rounds(door, 40), door, *milestones)
        assert isinstance(clone, Known)
        drawn.append(clone.drawn)
    assert drawn[0] == drawn[1]


def test_the_clone_of_a_milestone_at_the_end_is_made_once() -> None:
    made: list[int] = []

    def attack(door: Door) -> Iterator[Clone]:
        door.buy(50)
        yield DeferredClone(lambda rows, _: made.append(rows) or Known(rows))  # type: ignore[func-returns-value]

    door = Door(100)
    looks, _, ended = looked(attack(door), door, 50)
    assert (made, looks, ended) == ([50], [(50, 50)], "finished")


def test_the_last_clone_is_the_result_also_of_the_same_rows() -> None:
    def attack(door: Door) -> Iterator[Clone]:
        door.buy(50)
        yield Known(1)
        yield Known(2)

    door = Door(100)
    looks, clone, _ = looked(attack(door), door, 50)
    assert looks == [(50, 1)]
    assert isinstance(clone, Known)
    assert clone.rows == 2


def test_nothing_is_asked_and_the_clone_is_scored_once() -> None:
    door = Door(100)
    looks, _, ended = looked(iter([Known(0)]), door)
    assert (looks, ended) == ([(0, 0)], "finished")


def test_an_attack_that_cannot_pay_its_first_step_has_no_clone() -> None:
    door = Door(100)
    assert looked(rounds(door, 200), door) == ([], None, "budget_exhausted")


def test_a_halt_ends_the_attack_at_its_milestone_with_a_clone_of_all_paid_rows() -> None:
    door, asked = Door(100), []

    def halt(clone: nn.Module, queries: int) -> bool:
        asked.append(queries)
        return queries >= 30

    class Looks(Kept):
        """The examined clones."""

    clone, ended = follow(
        rounds(door, 8), door, table_kit(100), [10, 30, 60], Looks(), halt  # type: ignore[arg-type]
    )  # fmt: skip
    assert isinstance(clone, Known)
    assert (ended, door.spent, clone.rows) == ("stopped", 32, 32)
    assert asked == [10, 30, 32]  # the last one changes nothing


def test_without_a_halt_at_a_milestone_an_attack_uses_its_budget() -> None:
    door = Door(20)
    _, ended = follow(
        rounds(door, 8), door, table_kit(100), [10], Kept(), lambda clone, queries: queries > 10  # type: ignore[arg-type]
    )  # fmt: skip
    assert (ended, door.spent) == ("budget_exhausted", 16)
