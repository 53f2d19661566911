"""ModelGuard-W: the answer within a distance that says least about the victim, top class kept."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.defences._cheapest import cheapest
from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim


@dataclass(frozen=True, kw_only=True)
class ModelguardW:
    """Serve the minimum of sum_k log(y_k + 1e-6) y'_k over answers y' near the true one.

    y' lies on the simplex, within L1 distance epsilon of y, with its top class `margin` above all
    others. The linear programme is solved exactly, for all rows at once: for a given top value s
    the rest is greedy, and the optimum is convex in s. A row without a solution (its top class is
    too close to the next) is served unchanged.

    Source: Tang et al., USENIX Security 2024, "ModelGuard", §4.2.

    Example:
        >>> clean = torch.tensor([[0.9, 0.07, 0.03]])
        >>> ModelguardW(epsilon=0.5, margin=1e-4)(lambda _: clean)(torch.rand(1, 1, 8, 8))
        tensor([[0.6500, 0.0700, 0.2800]])

    Raises:
        SpecError: a setting is out of range.
    """

    epsilon: float = (
        1.0  # the largest L1 distance from the true answer; 0: answers stay as they are
    )
    margin: float = 1e-3  # how far the top class stays above the others, so that rounding keeps it

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon <= 2 and 0 <= self.margin <= 0.1):
            raise SpecError("A setting of ModelGuard is out of range",
                            got=f"epsilon={self.epsilon:g}, margin={self.margin:g}",
                            want="epsilon 0 to 2, margin 0 to 0.1")  # fmt: skip

    def __call__(self, victim: Victim) -> Victim:
        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            if not self.epsilon:
                return clean
            y = clean.double()
            return cheapest(y, (y + 1e-6).log(), self.epsilon, self.margin).to(clean.dtype)

        return defended
