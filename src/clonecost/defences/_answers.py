"""What several defences do to answers: normalise them, and put the victim's top class back."""

import torch
from torch import Tensor
from torch.nn import functional as F


def normalised(values: Tensor, otherwise: Tensor) -> Tensor:
    """(n, K) values >= 0 -> rows of sum 1; a row of zeros becomes the row of `otherwise`."""
    total = values.sum(1, keepdim=True)
    return torch.where(total > 0, values / total, otherwise)


def with_top_of(answers: Tensor, clean: Tensor) -> Tensor:
    """The answers with the top class of `clean`: it changes places with the class above it.

    Args:
        answers: (n, K) on the simplex.
        clean: (n, K), the victim's own answers.
    """
    top, now = clean.argmax(1, keepdim=True), answers.argmax(1, keepdim=True)
    swapped = answers.scatter(1, top, answers.gather(1, now))
    swapped = swapped.scatter(
        1, now, answers.gather(1, top).where(top != now, swapped.gather(1, now))
    )
    tied = (swapped == swapped.amax(1, keepdim=True)).sum(1, keepdim=True) > 1
    raised = swapped + tied * 1e-6 * F.one_hot(top[:, 0], answers.shape[1])
    return raised / raised.sum(1, keepdim=True)
