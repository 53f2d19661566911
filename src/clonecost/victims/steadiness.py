"""Does a victim of this process give a row one answer, whenever and beside whatever it is asked?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.errors import Advice, VictimError
from clonecost.types import Feature, Shape
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.probe_rows import probe_rows, unchanged_generators

TOLERANCE = 1e-3  # of a probability: rounding in float16, or in another order of sums
# From here on an answer says more of the other rows than of its own. Below lie graphs that find
# the steps of their quantisation anew for each batch: small changes, which a flag names.
LARGE = 0.05


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """The largest changes of a probability between answers to the same rows; 0 of no change.

    Attributes:
        random: when the same batch is asked twice.
        batch: when the rows are asked alone, or in another order.
    """

    random: float = 0.0
    batch: float = 0.0


STEADY = Steadiness()


def steadiness(
    victim: LoadedVictim, shape: Shape, features: Sequence[Feature] | None = None
) -> Steadiness:
    """Ask a victim whose rows cost nothing a few rows of our own twice, alone and in a batch.

    A function is asked if a network that it names is in training mode (`training_mode.trains`). Any
    other victim is not asked, and counts as steady.

    Raises:
        VictimError: an answer depends on the other rows of its batch by more than `LARGE`.

    Example:
        >>> steadiness(load_victim("model.onnx", input_shape=(1, 8, 8)), (1, 8, 8)).random
        0.0
    """
    if not (victim.free_rows or victim.trains):
        return STEADY
    rows = probe_rows(shape, features)[::2]
    with unchanged_generators():
        first, again = victim.answer(rows), victim.answer(rows)
        if (change := _largest(first, again)) > TOLERANCE:
            return Steadiness(random=change)
        try:
            alone = torch.cat([victim.answer(row[None]) for row in rows])
        except VictimError as error:
            raise _of_its_batch(victim, f"it fails on a single row ({error.what})") from error
        turned = victim.answer(rows.flip(0)).flip(0)
    change = max(_largest(first, alone), _largest(first, turned))
    if change > LARGE:
        raise _of_its_batch(
            victim, f"a probability changes by {change:.2g} when a row is asked alone or in "
            "another order",
        )  # fmt: skip
    return Steadiness(batch=change) if change > TOLERANCE else STEADY


def _of_its_batch(victim: LoadedVictim, fact: str) -> VictimError:
    return VictimError(
        f"The answers of {victim.name} depend on the other rows of the batch: {fact}",
        Advice("export or wrap the model in eval mode (batch normalisation in training mode does "
               "this)"),
    )  # fmt: skip


def _largest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())
