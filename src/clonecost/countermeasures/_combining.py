"""The answers to several copies of a row as one answer."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.countermeasures.base import Made
from clonecost.errors import SetKey, SpecError
from clonecost.types import AnswerKind

Kind = Literal["mean", "log", "vote"]
SMALLEST = 1e-7  # a probability of 0 has no logarithm


def _mean(served: Tensor) -> Tensor:
    return served.mean(1)


def _log(served: Tensor) -> Tensor:
    """The geometric mean, normalised: for noise that was added to logits."""
    return served.clamp_min(SMALLEST).log().mean(1).softmax(1).to(served.dtype)


def _vote(served: Tensor) -> Tensor:
    """One-hot: the class that is most often the top one; of equals, the one with more mass."""
    classes = served.shape[2]
    votes = F.one_hot(served.argmax(2), classes).sum(1) + served.mean(1) / 2
    return F.one_hot(votes.argmax(1), classes).float()


KINDS: Mapping[Kind, Made] = {"mean": _mean, "log": _log, "vote": _vote}
# what the attack then sees; None: the kind of the answers as served
GIVES: Mapping[Kind, AnswerKind | None] = {"mean": None, "log": None, "vote": "label"}


def must_be_kind(kind: str) -> None:
    """Refuse an unknown way to combine answers.

    Raises:
        SpecError: it is unknown.
    """
    if kind not in get_args(Kind):
        raise SpecError(
            "Unknown way to combine answers", SetKey("counter"), got=repr(kind),
            want=" or ".join(get_args(Kind)),
        )  # fmt: skip


def combined(kind: Kind) -> Made:
    """The function from (n, m, K) served answers to (n, K) combined ones."""

    def made(served: Tensor) -> Tensor:
        with torch.no_grad():
            return KINDS[kind](served)

    return made
