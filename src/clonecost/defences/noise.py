"""Noise: Gaussian or Laplace noise on every probability, fresh each time or tied to the row."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from clonecost.defences._answers import normalised, with_top_of
from clonecost.defences._keyed_rows import row_keys, secret
from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.query_synthesis import counter_rng
from clonecost.types import PredictionApi, Victim

Kind = Literal["gaussian", "laplace"]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Serve the probabilities plus noise, cut off at 0 and normalised.

    Fresh noise comes from torch's global random state: who repeats a row m times and averages gets
    its label back. Cutting off at 0 is biased, so the mean does not become the victim's answer.
    With `consistent` the noise is a function of the row and the key: a repeated row gets the same
    answer, and a run that is resumed gets the same answers.

    Example:
        >>> defended = Noise(scale=0.2, consistent=True)(victim)
        >>> torch.equal(defended(rows), defended(rows))
        True

    Raises:
        SpecError: a setting is out of range.
    """

    kind: Kind = "gaussian"  # the distribution of the noise
    scale: float = 0.1  # standard deviation, or b of Laplace(b); 0: answers stay as they are
    consistent: bool = False  # the same row always gets the same noise
    keep_top: bool = True  # the victim's top class stays the top class
    # of consistent noise: a word, or env:NAME for a secret that no report shows
    key: str = "audit"
    step: float = 1 / 255  # rows that are equal in multiples of it get the same noise

    declares: ClassVar = Declaration(random=True)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SpecError("Unknown kind of noise", got=repr(self.kind),
                            want=" or ".join(get_args(Kind)))  # fmt: skip
        if not (0 <= self.scale <= 10 and self.step > 0):
            raise SpecError("The noise is out of range", got=f"scale={self.scale:g}, "
                            f"step={self.step:g}", want="scale 0 to 10, step above 0")  # fmt: skip

    def check(self, api: PredictionApi) -> None:
        """Refuse a key without a value; every API fits.

        Raises:
            SpecError: the environment variable of the key is not set.
        """
        if self.consistent:
            secret(self.key)

    def __call__(self, victim: Victim) -> Victim:
        key = secret(self.key) if self.consistent else b""

        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            if not self.scale:
                return clean
            if self.consistent:
                uniform = counter_rng.symmetric(row_keys(inputs, key, self.step), clean.shape[1])
                uniform = uniform.to(clean.device)  # U(-1, 1)
            else:
                uniform = (2 * torch.rand_like(clean) - 1).clamp(-1 + 2**-23, 1 - 2**-23)
            if self.kind == "gaussian":
                noise = uniform.erfinv() * 2**0.5
            else:
                noise = -uniform.sign() * (-uniform.abs()).log1p()
            served = normalised((clean + self.scale * noise).clamp_min(0), clean)
            return with_top_of(served, clean) if self.keep_top else served

        return defended
