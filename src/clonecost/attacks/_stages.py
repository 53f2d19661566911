"""The rows of a table asked in stages, so that no milestone is passed over."""

from collections.abc import Callable, Generator, Iterator
from math import ceil

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.features import uniform_rows

# A part of an attack that hands over clones on its way, and returns what it found.
Asking = Generator[nn.Module, None, Tensor]


def ask(
    oracle: Oracle, kit: AttackerKit, rows: Tensor, clone: Callable[[Tensor], nn.Module], *,
    most: int = 1_024,
) -> Asking:  # fmt: skip
    """The answers to `rows`, (n, K), bought `most` at a time.

    Wherever a milestone or the end of the budget falls between them, `clone(answers so far)` is
    handed over: what a smaller budget would have ended with.

    Raises:
        BudgetError: the budget is spent; the clone of its last row was handed over before.
    """
    stops = [*kit.milestones, oracle.threat.query_budget]
    answers: list[Tensor] = []
    first = 0
    while first < len(rows):
        stop = next((stop for stop in stops if stop > oracle.spent), oracle.spent + most)
        count = min(most, stop - oracle.spent, len(rows) - first)
        answers.append(oracle(rows[first : first + count]))
        first += count
        if oracle.spent == stop:
            yield clone(torch.cat(answers))
    return torch.cat(answers)


def equations(
    oracle: Oracle, kit: AttackerKit, wanted: float
) -> Iterator[tuple[AttackerKit, Tensor, Tensor]]:
    """Uniform rows and their answers, in one batch to each milestone: what a solver is given.

    Ends after `wanted` rows, or with the budget. Yields (the kit's branch there, rows, answers).
    """
    most = min(max(1, ceil(wanted)), oracle.threat.query_budget)
    rows = uniform_rows(table_of(oracle.threat), most, kit.rng)
    answers: list[Tensor] = []
    stops = sorted({min(stop, most) for stop in [*kit.milestones, most]})
    for turn in kit.loop(lambda turn: turn < len(stops), answers=answers):
        stop = stops[turn]
        answers.append(oracle(rows[oracle.spent : stop]))
        yield kit.branch(stop), rows[:stop], torch.cat(answers)
