"""Temperature: softer or sharper probabilities, which an attacker can undo exactly."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """Serve y^(1/T) / sum: the soft-max of the victim's logits, divided by T.

    The inverse is y^T / sum, so this is a control that looks like a defence and is none, unless
    `rounding` follows. The top class stays the top class.

    Source: Hinton et al., arXiv:1503.02531, §2, for the soft-max with a temperature.

    Example:
        >>> defended = Temperature(temperature=2)(lambda _: torch.tensor([[0.8, 0.2]]))
        >>> defended(torch.rand(1, 1, 8, 8))
        tensor([[0.6667, 0.3333]])

    Raises:
        SpecError: `temperature` is not between 0.01 and 100.
    """

    temperature: float = 4.0  # T; 1: answers stay as they are

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not 0.01 <= self.temperature <= 100:
            raise SpecError("The temperature makes answers uniform or labels",
                            got=self.temperature, want="0.01 to 100")  # fmt: skip

    def __call__(self, victim: Victim) -> Victim:
        def defended(inputs: Tensor, /) -> Tensor:
            probs = victim(inputs)
            # relative to the largest, so that no power underflows for every class
            powers = (probs / probs.amax(1, keepdim=True)) ** (1 / self.temperature)
            return powers / powers.sum(1, keepdim=True)

        return defended
