"""Adaptive misinformation: another network answers where the victim is not sure."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clonecost.defences._networks import Beside, Source
from clonecost.defences.base import Declaration
from clonecost.errors import Advice, RunWorkflow, SpecError
from clonecost.types import PredictionApi, Victim


@dataclass(frozen=True, kw_only=True)
class AdaptiveMisinformation:
    """Serve (1 - a) y + a f(x), with a = sigmoid(slope (threshold - max y)).

    f is a network that was trained to be wrong, of the victim's own family: `clonecost train
    misinformation` makes one. At the usual slope this is a switch: who is surer than the threshold
    gets the true answer, all others get that of f.

    Source: Kariyappa, Qureshi, CVPR 2020, "Defending Against Model Stealing Attacks with Adaptive
    Misinformation", §4. The victim there is trained with outliers; this one is as it is.

    Example:
        >>> defended = AdaptiveMisinformation(misinformation="wrong.safetensors")(victim)

    Raises:
        SpecError: a setting is out of range, or there is no such file of weights.
    """

    # a file of weights, or an untrained network of `clonecost list networks`, or `perceptron`
    misinformation: str = ""
    threshold: float = 0.7  # tau, a top probability; 0: answers stay as they are
    slope: float = 1000.0  # nu, how sharp the switch is
    network: str = ""  # the network of the file, where the file does not say it
    digest: str = ""  # SHA-256 of the file; filled in, and checked if it is given

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 < self.slope <= 1e6):
            raise SpecError(
                "A setting of adaptive misinformation is out of range",
                got=f"threshold={self.threshold:g}, slope={self.slope:g}",
                want="threshold 0 to 1, slope above 0 to 1,000,000",
            )
        if self.misinformation:
            object.__setattr__(self, "digest", self._source.digest(self.digest))

    @property
    def _source(self) -> Source:
        if not self.misinformation:
            raise SpecError(
                "adaptive_misinformation needs a network that answers wrongly, and none is named",
                Advice("add misinformation=FILE to the defence"),
                RunWorkflow("train misinformation", "VICTIM"),
            )
        of = "adaptive_misinformation's network"
        return Source(of, self.misinformation, self.network)

    def check(self, api: PredictionApi) -> None:
        """Refuse an API that the network does not fit.

        Raises:
            SpecError: no network is named, or it has other inputs or classes.
        """
        self._source.check(api)

    def __call__(self, victim: Victim) -> Victim:
        beside = Beside(self._source)

        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            if not self.threshold:
                return clean
            y = clean.double()
            share = torch.sigmoid(self.slope * (self.threshold - y.amax(1, keepdim=True)))
            wrong = beside.answers(inputs, clean.shape[1]).double()
            return ((1 - share) * y + share * wrong).to(clean.dtype)

        return defended
