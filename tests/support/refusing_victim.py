"""A victim that refuses some rows for good."""

import torch
from tests.support.toys import CLASSES
from torch import Tensor

from clonecost.oracle.delivery import current
from clonecost.types import Victim


def refused(rows: Tensor) -> Tensor:
    """(n,) bool: one row in eight or so."""
    return rows.flatten(1).sum(1) * 1_000 % 8 < 1


def refusing(victim: Victim) -> Victim:
    def answer(rows: Tensor, /) -> Tensor:
        delivery = current()
        for row in refused(rows).nonzero().flatten().tolist():
            delivery.refused_for_good(row, "422 Unprocessable: no face found")
        return torch.where(refused(rows)[:, None], torch.eye(CLASSES)[0], victim(rows))

    return answer
