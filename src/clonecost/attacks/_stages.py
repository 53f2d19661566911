"""Queries of a table's rows in chunks, with a clone after each chunk."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.attacks.base import Clone, DeferredClone
from clonecost.oracle import Oracle

# A part of an attack: yields the clone after each chunk of queries and returns its result.
QuerySteps = Generator[Clone, None, Tensor]
BuySteps = Generator[Clone, None, None]


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


@dataclass
class Bought:
    """The rows of a table that an attack has bought, and their answers; `clone` is of all rows."""

    oracle: Oracle
    clone: DeferredClone
    rows: Tensor  # (n, d)
    answers: Tensor  # (n, K)

    def buy(self, rows: Tensor) -> QuerySteps:
        """Query `rows`, (m, d), add them and return their answers, (m, K).

        Raises:
            BudgetError: the budget ended among the rows; it was spent to the last query.
        """
        for chunk, answers in answered_chunks(self.oracle, rows):
            self.rows = torch.cat([self.rows, chunk])
            self.answers = torch.cat([self.answers, answers])
            yield self.clone
        return self.answers[len(self.answers) - len(rows) :]
