"""`defences.json` from finished runs: agreement, gain over labels, utility, the Pareto set."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.defences import declaration_of, defend
from clonecost.defences.base import draws, forgetful
from clonecost.evaluation.paired import paired_difference
from clonecost.evaluation.utility import latency, utility
from clonecost.oracle.answer_policy import restrict
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.report.aggregate import estimate
from clonecost.report.load_runs import Run, load_runs
from clonecost.result import Measured
from clonecost.result.defence_grid import (
    LABEL,
    NAIVE,
    NONE,
    Attacker,
    DefenceGrid,
    DefenceRow,
    Difference,
)
from clonecost.result.utility import Latency, Utility
from clonecost.types import LabelledInputs, ThreatModel, answered
from clonecost.workflows.grid_cells import AttackerCells, Row

OTHERS = 5_000  # inputs of the attacker, at most
Bits = NDArray[np.bool_]  # (seeds, test rows): the clone gives the victim's class


def document(
    rows: Sequence[Row], out: Path, test: LabelledInputs, threat: ThreatModel, asked: Sequence[str]
) -> DefenceGrid:
    """The grid of the rows whose cells are all finished; the first two are among them.

    Args:
        rows: `none` and `label` first.
        test: the test rows, with which the runs were scored.
        threat: of the undefended victim.
        asked: the names of all rows, finished or not.
    """
    runs = {
        (row.name, attacker.pairing.name): load_runs([out / c.folder for c in attacker.cells])
        for row in rows for attacker in row.attackers
    }  # fmt: skip
    first = runs[NONE, rows[0].attackers[0].pairing.name][0]
    clean = clean_answers(first.path, len(test))
    told = answered(clean)  # no run is scored on rows that the victim refused
    test, clean = test.take(told), clean[told]
    attackers = {
        row.name: [_attacker(one, runs[row.name, one.pairing.name]) for one in row.attackers]
        for row in rows
    }
    worst = {name: _worst(found) for name, found in attackers.items()}
    floor = runs[LABEL, worst[LABEL].counter], worst[LABEL]
    none = runs[NONE, worst[NONE].counter], worst[NONE]
    prices = {row.name: _utility(row, clean, test, threat, _others(runs, row.name)) for row in rows}
    found = [
        DefenceRow(
            defence=row.name,
            utility=prices[row.name],
            latency=_latency(row, clean, test) if row.defences else None,
            stateful=any(declaration_of(one).stateful for one in row.defences),
            random=any(map(draws, row.defences)),
            resume_safe=_resume_safe(row, threat),
            attackers=attackers[row.name],
            worst=worst[row.name].counter,
            gain_over_label=None if row.name == LABEL else _gain(
                *floor, runs[row.name, worst[row.name].counter], worst[row.name]
            ),
            gain_over_none=None if row.name == NONE else _gain(
                *none, runs[row.name, worst[row.name].counter], worst[row.name]
            ),
            pareto=_undominated(row.name, prices, worst),
        )
        for row in rows
    ]  # fmt: skip
    result = first.result
    return DefenceGrid(
        victim=result.victim.name, attack=result.attack.name, queries=result.threat.query_budget,
        seeds=[one.result.provenance.seed for one in none[0]], test_rows=len(test),
        majority_agreement=result.majority_agreement, rows=found, asked=list(asked),
    )  # fmt: skip


def clean_answers(run: Path, rows: int) -> Tensor:
    """(n, K): what the undefended victim answered to the test rows, as the run has recorded it.

    The answer to a row that the victim refused is all zeros.
    """
    with closing(Ledger.read(run / run_folder.LEDGER)) as ledger:
        recorded = ledger.recorded("evaluation", 0, rows)
    assert recorded is not None  # a finished run has bought its reference
    return recorded.answers


def _attacker(cells: AttackerCells, runs: Sequence[Run]) -> Attacker:
    finals = [run.result.curve[-1] for run in runs]
    return Attacker(
        counter=cells.pairing.name, why=cells.pairing.why, bound=cells.bound,
        runs=[cell.folder.as_posix() for cell in cells.cells],
        seeds=[run.result.provenance.seed for run in runs],
        agreement=_mean([final.agreement for final in finals]),
        corrected_agreement=_mean([final.corrected_agreement for final in finals]),
        learnt=any(final.learnt for final in finals),
    )  # fmt: skip


def _mean(values: Sequence[Measured]) -> Measured:
    found = estimate(values)
    return Measured(value=found.value, low=found.low, high=found.high)


def _worst(attackers: Sequence[Attacker]) -> Attacker:
    """The one with the highest agreement; of equals, the first. A bound is no attacker."""
    return max((one for one in attackers if not one.bound), key=lambda one: one.agreement.value)


def _others(
    runs: Mapping[tuple[str, str], Sequence[Run]], name: str
) -> tuple[Tensor, Tensor] | None:
    """What the undefended victim and a row of the grid answered to the same inputs of the attacker.

    An attack that does not depend on the answers, such as one with a pool, asks the same inputs in
    every cell. None: this one does not, or its data may be of the victim's own classes.
    """
    pair = [runs[one, NAIVE][0] for one in (NONE, name) if (one, NAIVE) in runs]
    if len(pair) < 2 or pair[0].result.attack.proxy is None:
        return None
    bought = []
    for run in pair:
        with closing(Ledger.read(run.path / run_folder.LEDGER)) as ledger:
            bought.append(ledger.recorded("attack", 0, OTHERS))
    clean, served = bought
    if clean is None or served is None or clean.digests != served.digests:
        return None
    told = answered(clean.answers) & answered(served.answers)
    return clean.answers[told], served.answers[told]


def _utility(
    row: Row, clean: Tensor, test: LabelledInputs, threat: ThreatModel,
    others: tuple[Tensor, Tensor] | None,
) -> Utility:  # fmt: skip
    """From the clean answers to the test rows; the victim is not asked."""
    kind, top_k = ("label", None) if row.name == LABEL else (threat.answers, threat.top_k)
    rows = test.rows(slice(None))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        served = restrict(defend(lambda _: clean, *row.defences)(rows), kind, top_k)
    return utility(clean, served, test.labels if test.labelled else None, others)


def _latency(row: Row, clean: Tensor, test: LabelledInputs) -> Latency:
    """The defences alone take this time: the victim is a table look-up."""

    def victim(inputs: Tensor, /) -> Tensor:
        return clean[torch.arange(len(inputs)) % len(clean)]

    with torch.random.fork_rng():
        return latency(victim, defend(victim, *row.defences), test.rows(slice(128)))


def _resume_safe(row: Row, threat: ThreatModel) -> bool:
    """Whether a resumed run gets the answers of one without a break."""
    return not any(map(draws, row.defences)) and forgetful(row.defences, threat.answers) is None


def _gain(
    before: Sequence[Run], summary: Attacker, after: Sequence[Run], worst: Attacker
) -> Difference:
    """How much lower the agreement is `after`: of the same test rows, where both runs kept them."""
    bits = [_bits(before), _bits(after)]
    if bits[0] is not None and bits[1] is not None and bits[0].shape == bits[1].shape:
        found = paired_difference(bits[1], bits[0])
        return Difference(value=found.value, low=found.low, high=found.high, how="paired bootstrap")
    one, two = summary.agreement, worst.agreement
    return Difference(
        value=one.value - two.value, low=one.low - two.high, high=one.high - two.low,
        how="difference of intervals",
    )  # fmt: skip


def _bits(runs: Sequence[Run]) -> Bits | None:
    found = [run.rows.agrees for run in runs if run.rows is not None]
    return np.stack(found) if len(found) == len(runs) else None


def _undominated(name: str, prices: Mapping[str, Utility], worst: Mapping[str, Attacker]) -> bool:
    """Whether no other row is at least as good in every respect and better in one."""

    def respects(one: str) -> tuple[float, float, float]:
        return worst[one].agreement.value, prices[one].flips.value, prices[one].l1_mean

    own = respects(name)
    return not any(
        other != own and all(theirs <= mine for theirs, mine in zip(other, own, strict=True))
        for other in map(respects, prices)
    )
