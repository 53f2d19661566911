"""MAD: answers within a distance of the true ones whose gradient points away from theirs."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim


@dataclass(frozen=True, kw_only=True)
class Mad:
    """Serve the answer within L1 distance epsilon that deviates the student's gradient most.

    The objective is the angle between the gradients of a surrogate's last layer for the served and
    for the true answer. For that layer the features cancel, and what is left is
    2 (1 - cos(u - y', u - y)), with u the surrogate's answer. The surrogate of the released code is
    random and never trained, so u is taken as uniform, and the maximum is exact:

    - with `keep_top`, over all corners that tie the top class with a set of others: the best set of
      each size has the smallest probabilities, which leaves K candidates;
    - without it, the corner of the class with the smallest probability.

    y' lies on the line from y to that corner, at distance epsilon at most.

    Source: Orekondy, Schiele, Fritz, ICLR 2020, "Prediction Poisoning", §4, variants MAD-argmax and
    MAD.

    Example:
        >>> clean = torch.tensor([[0.9, 0.07, 0.03]])
        >>> Mad(epsilon=0.5, margin=0)(lambda _: clean)(torch.rand(1, 1, 8, 8))
        tensor([[0.6872, 0.0328, 0.2800]])

    Raises:
        SpecError: a setting is out of range.
    """

    epsilon: float = (
        1.0  # the largest L1 distance from the true answer; 0: answers stay as they are
    )
    keep_top: bool = True  # the victim's top class stays the top class (MAD-argmax)
    margin: float = 1e-3  # how far the top class stays above the others, so that rounding keeps it

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon <= 2 and 0 <= self.margin <= 0.1):
            raise SpecError(
                "A setting of MAD is out of range",
                got=f"epsilon={self.epsilon:g}, margin={self.margin:g}",
                want="epsilon 0 to 2, margin 0 to 0.1",
            )

    def __call__(self, victim: Victim) -> Victim:
        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            y = clean.double()
            corner = _best_tie(y, self.margin) if self.keep_top else _smallest(y)
            distance = (corner - y).abs().sum(1, keepdim=True)
            # 0 / 0 where y is that corner already
            share = (self.epsilon / distance.clamp_min(1e-12)).clamp_max(1)
            return (y + share * (corner - y)).to(clean.dtype)

        return defended


def _smallest(y: Tensor) -> Tensor:
    """The one-hot rows of the smallest probabilities; cos(u - e_k, u - y) grows with y_k."""
    return F.one_hot(y.argmin(1), y.shape[1]).to(y.dtype)


def _best_tie(y: Tensor, margin: float) -> Tensor:
    """The top class tied with the m - 1 smallest others, for the m of the smallest cosine.

    With s = 1/m on m classes, (u - s) . (u - y) = s . y - 1/K and |u - s|^2 = 1/m - 1/K.
    """
    n, classes = y.shape
    top = F.one_hot(y.argmax(1), classes).to(y.dtype)
    order = (y + 2 * top).argsort(dim=1, stable=True)  # ascending, the top class at the end
    others = y.gather(1, order)[:, :-1]
    size = torch.arange(1, classes, device=y.device, dtype=y.dtype)  # m; m = K is u itself
    before = torch.cat([others.new_zeros(n, 1), others.cumsum(1)[:, :-1]], 1)
    dot = (before + y.amax(1, keepdim=True)) / size - 1 / classes
    cosine = dot / (1 / size - 1 / classes).sqrt()  # up to |u - y|, the same for every m
    others_in = cosine.argmin(1, keepdim=True)  # m - 1
    rank = torch.arange(classes, device=y.device)
    tied = torch.zeros_like(y).scatter(1, order, (rank < others_in).to(y.dtype)) + top
    best = (1 - margin) * tied / tied.sum(1, keepdim=True) + margin * top
    uniform = (y - 1 / classes).abs().amax(1, keepdim=True) < 1e-6  # y = u: no direction
    return torch.where(uniform, y, best)
