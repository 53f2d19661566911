"""Reverse sigmoid: probabilities minus a sigmoid of their logits, so that many inputs share one."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.defences._answers import normalised, with_top_of
from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim


@dataclass(frozen=True, kw_only=True)
class ReverseSigmoid:
    """Serve p - beta (sigmoid(gamma logit p) - 1/2), normalised.

    The map is not monotone: near p = 0 the answer rises again, so a class that is all but
    impossible can pass the top class. `floor` decides from which probability on; results depend on
    it. `keep_top` puts the top class back, which the paper does not.

    Source: Lee, Edwards, Molloy, Su, IEEE SPW 2019, "Defending Against Neural Network Model
    Stealing Attacks Using Deceptive Perturbations".

    Example:
        >>> defended = ReverseSigmoid(beta=0.7, gamma=0.1)(lambda _: torch.tensor([[0.9, 0.1]]))
        >>> defended(torch.rand(1, 1, 8, 8))
        tensor([[0.8617, 0.1383]])

    Raises:
        SpecError: a setting is out of range, or makes every answer uniform.
    """

    beta: float = 0.7  # beta, the size of the perturbation; 0: answers stay as they are
    gamma: float = 0.2  # gamma, how fast it saturates
    floor: float = (
        1e-7  # probabilities are raised to it, and lowered to 1 - floor, before the logit
    )
    keep_top: bool = False  # the victim's top class stays the top class

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.beta <= 2 and 0 < self.gamma <= 10 and 0 < self.floor <= 0.01):
            raise SpecError(
                "A setting of the reverse sigmoid is out of range",
                got=f"beta={self.beta:g}, gamma={self.gamma:g}, floor={self.floor:g}",
                want="beta 0 to 2, gamma above 0 to 10, floor above 0 to 0.01",
            )
        if self.beta == self.gamma == 1:  # sigmoid(logit p) = p
            raise SpecError("With beta = gamma = 1 the reverse sigmoid answers 1/K for every class")

    def __call__(self, victim: Victim) -> Victim:
        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            if not self.beta:
                return clean
            p = clean.double().clamp(self.floor, 1 - self.floor)
            r = self.beta * ((self.gamma * p.logit()).sigmoid() - 0.5)
            served = normalised((p - r).clamp_min(0), clean.double())
            return (with_top_of(served, clean) if self.keep_top else served).to(clean.dtype)

        return defended
