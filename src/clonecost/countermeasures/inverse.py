"""Inverse: a defence that is a known formula is undone by its inverse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from clonecost.countermeasures.base import Declaration, Known, View, out_of_range
from clonecost.countermeasures.sharpen import raised
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.types import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Inverse:
    """Undo every known defence that has an inverse, the last one first; others stay.

    The soft-max with temperature T is undone by y^T / sum. No extra query. Nothing has to be
    fitted, because the attacker knows the defence and its settings; `temperature` is for a guess.

    Raises:
        SpecError: a setting is out of range.

    Example:
        >>> Inverse().view(oracle, Known.of([Temperature(temperature=3)], 0))(x)  # doctest: +SKIP
        tensor([[0.9, 0.1]])
    """

    temperature: float | None = None  # T; None: the one of the defence

    declares: ClassVar = Declaration(needs="top_k")

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0.01 <= self.temperature <= 100:
            raise out_of_range(self, "temperature", "0.01 to 100")

    @property
    def repeats(self) -> int:
        return 1

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        if any(name in INVERSES for name in known.names):
            return None
        return SpecError(
            f"inverse undoes {' and '.join(INVERSES)}, and the defences have none of them",
            SetKey("counter", "label_only"), SetKey("defence"),
            got=", ".join(known.names) or "no defence",
        )  # fmt: skip

    def view(self, oracle: Oracle, known: Known) -> View:
        steps = [
            partial(INVERSES[name], self, defence)
            for name, defence in zip(known.names, known.defences, strict=True)
            if name in INVERSES
        ]

        def made(served: Tensor) -> Tensor:
            answers = served[:, 0].double()
            for step in reversed(steps):
                answers = step(answers)
            return answers.to(served.dtype)

        return View(oracle, made=made)


def _of_temperature(own: Inverse, defence: Any, answers: Tensor) -> Tensor:
    """y^T / sum."""
    return raised(answers, own.temperature or defence.temperature)


INVERSES: Mapping[str, Callable[[Inverse, Any, Tensor], Tensor]] = {"temperature": _of_temperature}
