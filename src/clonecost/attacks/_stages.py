"""The rows of a table bought in parts, with a clone to show after each."""

from collections.abc import Callable, Generator, Iterator
from math import ceil

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.features import uniform_rows

# A part of an attack that yields clones on its way, and returns what it found.
Asking = Generator[Clone, None, Tensor]
Solve = Callable[[AttackerKit, Tensor, Tensor], nn.Module]  # (kit, rows, answers) -> clone


def bought(oracle: Oracle, rows: Tensor, *, most: int = 1_024) -> Iterator[tuple[Tensor, Tensor]]:
    """Buy `rows` at most `most` at a time: (rows, answers) of each part.

    Raises:
        BudgetError: the budget is spent; all that it held was bought before.
    """
    first = 0
    while first < len(rows):
        count = max(1, min(most, oracle.remaining))  # one row that does not fit is refused
        part = rows[first : first + count]
        yield part, oracle(part)
        first += count


def ask(oracle: Oracle, rows: Tensor, clone: DeferredClone) -> Asking:
    """The answers to `rows`, (n, K), in parts.

    `clone` is yielded after each part, before the answers are used: a budget that ends among these
    rows ends with it.
    """
    answers: list[Tensor] = []
    for _, found in bought(oracle, rows):
        answers.append(found)
        yield clone
    return torch.cat(answers)


def solved(
    oracle: Oracle, kit: AttackerKit, wanted: float, solve: Solve, *, most: int = 256
) -> Iterator[Clone]:
    """Buy `wanted` uniform rows, or as many as the budget holds; their equations give the clone."""
    count = min(max(1, ceil(wanted)), oracle.threat.query_budget)
    rows = uniform_rows(table_of(oracle.threat), count, kit.rng)
    answers: list[Tensor] = []
    clone = DeferredClone(lambda n, kit: solve(kit, rows[:n], torch.cat(answers)[:n]))
    for _ in kit.loop(lambda _: oracle.spent < count, answers=answers):
        answers.append(oracle(rows[oracle.spent :][:most]))
        yield clone
