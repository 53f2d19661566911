"""Sharpen: answers are raised to the power at which they are as sure as an undefended victim's."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from clonecost.countermeasures._simulation import Recovery, Refitted
from clonecost.countermeasures.base import Declaration, Known, View, out_of_range
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.types import ThreatModel

LEAST, MOST = 1 / 64, 64.0  # powers that are tried
HALVINGS = 30  # of the interval of powers


@dataclass(frozen=True, kw_only=True)
class Sharpen:
    """Fit T of a soft-max whose temperature the attacker does not know: y^T / sum.

    T is the power at which the mean of the largest probabilities of the answers served so far is
    `confidence`, the attacker's guess of how sure the undefended victim is; for a classifier that
    is sure of most rows, its published accuracy is one. No extra query. Of an attacker who knows T,
    `inverse` is the better one.

    Raises:
        SpecError: a setting is out of range.

    Example:
        >>> Sharpen(confidence=0.9).view(oracle, Known(()))(rows)  # doctest: +SKIP
        tensor([[0.93, 0.07]])
    """

    confidence: float = 0.95  # mean largest probability, as the attacker guesses it

    declares: ClassVar = Declaration(needs="top_k")

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise out_of_range(self, "confidence", "above 0 and below 1")

    @property
    def repeats(self) -> int:
        return 1

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        return None

    def view(self, oracle: Oracle, known: Known) -> View:
        return View(oracle, made=Refitted(self._fit))

    def _fit(self, centres: Tensor) -> Recovery:
        low, high = LEAST, MOST
        for _ in range(HALVINGS):  # the mean rises with the power
            power = (low * high) ** 0.5
            if float(raised(centres, power).amax(1).mean()) < self.confidence:
                low = power
            else:
                high = power
        return partial(raised, power=(low * high) ** 0.5)


def raised(answers: Tensor, power: float) -> Tensor:
    """y^power / sum of (n, K) answers, relative to the largest, so that no power underflows.

    Example:
        >>> raised(torch.tensor([[0.6, 0.4]]), 2.0)
        tensor([[0.6923, 0.3077]])
    """
    powers = (answers / answers.amax(1, keepdim=True)) ** power
    return powers / powers.sum(1, keepdim=True)
