"""Rounding: probabilities to a few decimals, which shows less of the model per answer."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """Round probabilities to `decimals`, then renormalise; the top class stays the top class.

    A victim maps (n, ...) inputs to (n, K) probabilities, and so does the defended one.

    Source: Tramèr et al., USENIX Security 2016, §6.1.

    Example:
        >>> defended = Rounding(decimals=1)(lambda _: torch.tensor([[0.626, 0.374]]))
        >>> defended(torch.rand(1, 1, 8, 8))
        tensor([[0.6000, 0.4000]])

    Raises:
        SpecError: `decimals` is not between 0 and 6 (float32 holds no more).
    """

    decimals: int = 2  # decimals that a probability keeps, 0 to 6

    declares: ClassVar = Declaration(coarse=True)

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 6:
            raise SpecError("Rounding has too few or too many decimals", got=self.decimals,
                            want="0 to 6")  # fmt: skip

    def __call__(self, victim: Victim) -> Victim:
        def defended(inputs: Tensor, /) -> Tensor:
            probs = victim(inputs)
            top = F.one_hot(probs.argmax(1), probs.shape[1]).to(probs.dtype)
            rounded = probs.round(decimals=self.decimals)
            # half a step breaks ties that rounding makes, so that accuracy is untouched ...
            tied = (rounded == rounded.amax(1, keepdim=True)).sum(1, keepdim=True) > 1
            rounded = rounded + tied * top * 0.5 * 10**-self.decimals
            # ... and with many classes every entry may round to 0; the top class then stays
            rounded = rounded.where(rounded.sum(1, keepdim=True) > 0, top)
            return rounded / rounded.sum(1, keepdim=True)

        return defended
