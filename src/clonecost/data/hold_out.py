"""Rows kept apart from training, to measure on."""

import torch

from clonecost.types import LabelledInputs


def hold_out(
    data: LabelledInputs, *, one_in: int, seed: int
) -> tuple[LabelledInputs, LabelledInputs]:
    """(rows to train on, one row in `one_in` to measure on), both in a random order.

    The rows depend on the length of `data` and on `seed` only.

    Example:
        >>> from clonecost.data import load
        >>> kept, held_out = hold_out(load("digits", "train"), one_in=10, seed=0)
    """
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    cut = len(data) // one_in
    return data.take(order[cut:]), data.take(order[:cut])
