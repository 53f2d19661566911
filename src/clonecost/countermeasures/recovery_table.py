"""Recovery by table: the mean of the clean answers for which the defence would serve this one."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from clonecost.countermeasures._simulation import Recovery, Refitted, pairs
from clonecost.countermeasures.base import (
    Declaration,
    Known,
    View,
    cannot_be_simulated,
    out_of_range,
)
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.types import ThreatModel

Centres = Literal["served", "clean"]
AT_ONCE = 2**24  # distances in memory


@dataclass(frozen=True, kw_only=True)
class RecoveryTable:
    """Draw clean answers, run the known defences on them, and look served answers up backwards.

    For a served answer, the mean of the simulated clean answers whose served form is within
    `tolerance` of it in L1, or nearest to it; where the defences keep the top class, only of those
    with the same one. No extra query. The prior lies around the answers that were served:
    `centres=clean`, as in the released code, uses clean answers of the victim, which no attacker
    has; it is a bound and marked as one.

    Source: Tang et al., USENIX Security 2024, "ModelGuard", the partial Bayes attack.

    Raises:
        SpecError: a setting is out of range.

    Example:
        >>> RecoveryTable(rows=20_000).view(oracle, known)(rows)  # doctest: +SKIP
        tensor([[0.91, 0.06, 0.03]])
    """

    rows: int = 50_000  # simulated answers
    tolerance: float = 0.01  # L1 distance within which served answers count as the same
    centres: Centres = "served"  # of the prior; clean: the victim's own answers, a bound

    declares: ClassVar = Declaration(simulates=True)

    def __post_init__(self) -> None:
        if not 100 <= self.rows <= 10_000_000:
            raise out_of_range(self, "rows", "100 to 10000000")
        if not 0 <= self.tolerance <= 2:
            raise out_of_range(self, "tolerance", "0 to 2")
        if self.centres not in get_args(Centres):
            raise out_of_range(self, "centres", " or ".join(get_args(Centres)))

    @property
    def repeats(self) -> int:
        return 1

    @property
    def bound(self) -> bool:
        return self.centres == "clean"

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        return cannot_be_simulated("recovery_table", known, threat)

    def view(self, oracle: Oracle, known: Known) -> View:
        fit = partial(self._fit, known=known, threat=oracle.threat)
        return View(oracle, made=Refitted(fit, known.clean if self.bound else None))

    def _fit(self, centres: Tensor, *, known: Known, threat: ThreatModel) -> Recovery:
        clean, served = pairs(centres, self.rows, known, threat)
        keeps_top = bool((clean.argmax(1) == served.argmax(1)).all())
        return partial(_looked_up, clean=clean, served=served, tolerance=self.tolerance,
                       keeps_top=keeps_top)  # fmt: skip


def _looked_up(
    answers: Tensor, *, clean: Tensor, served: Tensor, tolerance: float, keeps_top: bool
) -> Tensor:
    """(n, K) served answers -> the mean of their clean forms in the table."""
    found, tops, of_table = answers.clone(), answers.argmax(1), served.argmax(1)
    for one in tops.unique() if keeps_top else [None]:
        kept = slice(None) if one is None else of_table == one
        rows = torch.arange(len(tops), device=tops.device)
        mine = rows if one is None else rows[tops == one]
        if not len(table := served[kept]):
            continue  # no draw has this top class: the answer stays as it was served
        for part in mine.split(max(1, AT_ONCE // len(table))):
            distance = torch.cdist(answers[part], table, p=1)
            radius = distance.amin(1, keepdim=True).clamp_min(tolerance) + 1e-7
            near = (distance <= radius).to(answers.dtype)
            found[part] = near @ clean[kept] / near.sum(1, keepdim=True)
    return found / found.sum(1, keepdim=True)
