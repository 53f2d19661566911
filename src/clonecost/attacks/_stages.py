"""Queries of a table's rows in chunks, with a clone after each chunk."""

from collections.abc import Callable, Generator, Iterator
from math import ceil

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.features import uniform_rows

# A part of an attack: yields the clone after each chunk of queries and returns its result.
QuerySteps = Generator[Clone, None, Tensor]
Solve = Callable[[AttackerKit, Tensor, Tensor], nn.Module]  # (kit, rows, answers) -> clone


def answered_chunks(
    oracle: Oracle, rows: Tensor, *, size: int = 1_024
) -> Iterator[tuple[Tensor, Tensor]]:
    """Query `rows`, (n, d), in chunks of at most `size`: yields (rows, answers) of each chunk.

    Raises:
        BudgetError: the budget ended among the rows; it was spent to the last query.
    """
    first = 0
    while first < len(rows):
        count = max(1, min(size, oracle.remaining))  # with no budget left, one row is refused
        chunk = rows[first : first + count]
        yield chunk, oracle(chunk)
        first += count


def query(oracle: Oracle, rows: Tensor, clone: DeferredClone) -> QuerySteps:
    """The answers, (n, K), to `rows`, (n, d); yields `clone` after each chunk.

    The clone is yielded before the answers are used; it is the result if the budget ends here.

    Raises:
        BudgetError: the budget ended among the rows.
    """
    answers: list[Tensor] = []
    for _, answer in answered_chunks(oracle, rows):
        answers.append(answer)
        yield clone
    return torch.cat(answers)


def solve_from_uniform_rows(
    oracle: Oracle, kit: AttackerKit, rows_needed: float, solve: Solve, *, size: int = 256
) -> Iterator[Clone]:
    """Query uniform rows in chunks of at most `size`; `solve` makes the clone from the answers.

    Args:
        rows_needed: number of rows, rounded up; fewer if the budget is smaller.
    """
    count = min(max(1, ceil(rows_needed)), oracle.threat.query_budget)
    rows = uniform_rows(table_of(oracle.threat), count, kit.rng)
    answers: list[Tensor] = []
    clone = DeferredClone(lambda n, kit: solve(kit, rows[:n], torch.cat(answers)[:n]))
    for _ in kit.loop(lambda _: oracle.spent < count, answers=answers):
        answers.append(oracle(rows[oracle.spent :][:size]))
        yield clone
