"""Label only: the attack sees one-hot labels, the top class of what is served."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.countermeasures.base import Declaration, Known, View
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.answer_policy import restrict
from clonecost.types import ThreatModel


@dataclass(frozen=True, kw_only=True)
class LabelOnly:
    """Train on the one-hot top class of each served answer, and ignore its probabilities.

    A defence that keeps the top class cannot do better against this attacker than an API that
    shows labels only: both attacks see the same answers, bit for bit. No extra query.

    Example:
        >>> LabelOnly().view(oracle, Known(()))(rows)  # doctest: +SKIP
        tensor([[0., 1., 0.]])
    """

    declares: ClassVar = Declaration(gives="label")

    @property
    def repeats(self) -> int:
        return 1

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        return None

    def view(self, oracle: Oracle, known: Known) -> View:
        return View(oracle, gives="label", made=_labels)


def _labels(served: Tensor) -> Tensor:
    return restrict(served[:, 0], "label", None)
