"""Two runs, or two folders of runs: what changed, and by how much on the same test rows."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import Advice, RunError
from clonecost.evaluation.paired import paired_difference
from clonecost.evaluation.seed_interval import t_interval
from clonecost.report.aggregate import (
    Estimate,
    answer_words,
    counter_words,
    defence_words,
    setting_words,
)
from clonecost.report.load_runs import RowScores, Run
from clonecost.report.number_format import percent
from clonecost.result import Measured, Result

SCHEMA = "clonecost/comparison/1"
# The victim may answer this share of the test rows with another class: other machines round
# otherwise. Above it, it is another victim under the same name.
CHANGED = 0.01


@dataclass(frozen=True)
class Shift:
    """One metric before and after; the difference is after minus before."""

    metric: str  # name of the field of a score
    title: str
    before: Estimate
    after: Estimate
    difference: float
    interval: tuple[float, float] | None  # 95 %, None: not known

    @property
    def clear(self) -> bool:
        """Whether the difference is beyond its interval."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two runs of one attack and seed."""

    label: str
    attack: str  # by which it was matched, without the seed
    before: Run
    after: Run
    shifts: tuple[Shift, ...]
    why_no_interval: str  # empty: the intervals are there


@dataclass(frozen=True)
class Mean:
    """The differences of several seeds of one attack, with Student's interval over the seeds."""

    label: str
    seeds: int
    metric: str
    title: str
    difference: Estimate


@dataclass(frozen=True, eq=False)
class Comparison:
    victim: str
    pairs: tuple[Pair, ...]
    means: tuple[Mean, ...]
    facts: tuple[tuple[str, str, str], ...]  # (what, before, after), those that differ only
    left_out: tuple[str, ...]  # runs without a partner, in words
    notes: tuple[str, ...]


def compare(before: Sequence[Run], after: Sequence[Run]) -> Comparison:
    """Match the runs by attack and seed, and measure what changed on the same test rows.

    One run on either side are matched whatever their attack is. Where a side has several runs of an
    attack and seed, as a grid has, countermeasure, defences and answers must be the same, too.

    Raises:
        RunError: the victims or the test sets differ, or no run has a partner.
    """
    matched, left_out, of = _matched(before, after)
    for one, two in matched:
        _check(one, two)
    pairs = tuple(_pair(one, two, of) for one, two in matched)
    return Comparison(
        victim=pairs[0].before.result.victim.name,
        pairs=pairs,
        means=tuple(_means(pairs)),
        facts=tuple(_facts(pairs)),
        left_out=tuple(left_out),
        notes=tuple(dict.fromkeys(note for one, two in matched for note in _notes(one, two))),
    )


def _matched(
    before: Sequence[Run], after: Sequence[Run]
) -> tuple[list[tuple[Run, Run]], list[str], Callable[[Run], str]]:
    """The pairs, what is left out in words, and the words by which runs were matched."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])], [], _attack
    of = _attack
    if any(
        len({(_attack(run), _seed(run)) for run in runs}) < len(runs) for runs in (before, after)
    ):
        of = _attack_and_victim
    first, second = _by_attack_and_seed(before, of), _by_attack_and_seed(after, of)
    matched = [(run, second[key]) for key, run in first.items() if key in second]
    if not matched:
        raise RunError(
            "No attack with the same seed is on both sides, so there is nothing to compare",
            Advice("name one run on either side"),
            got=f"{_names(first)} before and {_names(second)} after",
        )
    alone = [("before", first, second), ("after", second, first)]
    left_out = [
        f"{run.place} ({side} only: {key[0]}, seed {key[1]})"
        for side, own, other in alone for key, run in own.items() if key not in other
    ]  # fmt: skip
    return matched, left_out, of


def _seed(run: Run) -> int:
    return run.result.provenance.seed


def _attack(run: Run) -> str:
    attack = run.result.attack
    return attack.name + (f" with {counter_words(attack)}" if attack.counter else "")


def _attack_and_victim(run: Run) -> str:
    """The attack, and what stood between it and the victim."""
    defences = defence_words(run.result.defences)
    behind = "" if defences == "none" else f" against {defences}"
    return f"{_attack(run)}{behind}, {answer_words(run.result)}"


def _by_attack_and_seed(
    runs: Sequence[Run], of: Callable[[Run], str]
) -> dict[tuple[str, int], Run]:
    found: dict[tuple[str, int], Run] = {}
    for run in runs:
        key = of(run), _seed(run)
        if key in found:
            raise RunError(
                f"{found[key].place} and {run.place} are both runs of {key[0]} with seed {key[1]}: "
                "none of them can be chosen",
                Advice("name one run on either side"),
            )
        found[key] = run
    return found


def _names(runs: Mapping[tuple[str, int], Run]) -> str:
    return ", ".join(f"{attack} (seed {seed})" for attack, seed in runs) or "nothing"


def _check(one: Run, two: Run) -> None:
    """Refuse runs whose numbers cannot be compared row by row."""
    first, second = one.result.victim, two.result.victim
    if first.name != second.name or (
        first.weights and second.weights and first.weights != second.weights
    ):
        got = f"{first.name} in {one.name} and {second.name} in {two.name}"
        if first.name == second.name:
            got += ", whose weights differ"
        raise RunError(
            "The two runs attacked different victims", _SAME, got=got, want="one victim"
        )  # fmt: skip
    digests = {run.rows.test for run in (one, two) if run.rows}
    if (first.test_set, first.test_rows) != (second.test_set, second.test_rows) or len(digests) > 1:
        same = first.test_set == second.test_set and first.test_rows == second.test_rows
        raise RunError(
            "The two runs were scored on different test sets", _SAME,
            got=f"{_test(one)} and {_test(two)}" + ", whose rows differ" * same,
        )  # fmt: skip
    if _changed(one, two) > CHANGED:
        raise RunError(
            f"The victim {first.name} answered {percent(_changed(one, two), 1)} of the test rows "
            f"with another class in {two.name} than in {one.name}: it has changed, or answers at "
            "random", Advice("run both audits again on the same victim"),
        )  # fmt: skip


_SAME = Advice("compare runs of the same victim on the same test set")


def _test(run: Run) -> str:
    card = run.result.victim
    return f"{card.test_set} with {card.test_rows:,} rows in {run.name}"


def _changed(one: Run, two: Run) -> float:
    """The share of test rows for which the victim gave another class; 0 if it is not known."""
    if one.rows is None or two.rows is None:
        return 0.0
    return float((one.rows.victim != two.rows.victim).mean())


def _notes(one: Run, two: Run) -> list[str]:
    changed = _changed(one, two)
    if not changed:
        return []
    return [
        f"The victim answered {percent(changed, 2)} of the test rows with another class in "
        f"{two.name} than in {one.name}; agreement is with the answers of each run."
    ]


Bits = NDArray[np.bool_]
# metric -> (title, the bits of a row); chance-corrected agreement is a scale of agreement
ROWS: Mapping[str, tuple[str, Callable[[RowScores], Bits | None]]] = {
    "agreement": ("Agreement", lambda rows: rows.agrees),
    "accuracy": ("Accuracy", lambda rows: rows.correct),
}


def _pair(one: Run, two: Run, of: Callable[[Run], str]) -> Pair:
    shifts = [_shift(one, two, metric) for metric in ("agreement", "corrected_agreement",
                                                      "accuracy")]  # fmt: skip
    missing = [run.place for run in (one, two) if run.rows is None]
    why = (
        f"{' and '.join(missing)} keeps no scores of single rows: an older version wrote it. Run "
        "the audit again for intervals of the differences."
        if missing
        else ""
    )
    attack = of(two) if of(one) == of(two) else f"{of(one)} → {of(two)}"
    return Pair(
        f"{attack}, seed {_seed(two)}",
        attack,
        one,
        two,
        tuple(shift for shift in shifts if shift),
        why,
    )


def _shift(one: Run, two: Run, metric: str) -> Shift | None:
    first, second = (getattr(run.result.curve[-1], metric) for run in (one, two))
    if first is None or second is None:
        return None
    if metric == "corrected_agreement":
        title, scale, read = "Chance-corrected agreement", 1.0, ROWS["agreement"][1]
        if (majority := one.result.majority_agreement) < 1:
            scale = 1 / (1 - majority)
    else:
        (title, read), scale = ROWS[metric], 1.0
    bits = [None if run.rows is None else read(run.rows) for run in (one, two)]
    interval = None
    if bits[0] is not None and bits[1] is not None:
        found = paired_difference(bits[0], bits[1])
        interval = (scale * found.low, scale * found.high)
    return Shift(
        metric, title, _estimate(first), _estimate(second), second.value - first.value, interval
    )


def _estimate(rate: Measured) -> Estimate:
    return Estimate(rate.value, rate.low, rate.high)


def _means(pairs: Sequence[Pair]) -> list[Mean]:
    """Over the seeds of each attack that has several."""
    by_attack: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_attack.setdefault(pair.attack, []).append(pair)
    means = []
    for attack, several in by_attack.items():
        kinds = dict.fromkeys((s.metric, s.title) for pair in several for s in pair.shifts)
        for metric, title in kinds:
            shifts = [s.difference for pair in several for s in pair.shifts if s.metric == metric]
            if len(several) > 1 and len(shifts) == len(several):
                low, high = t_interval(shifts)
                mean = Estimate(sum(shifts) / len(shifts), low, high)
                means.append(Mean(attack, len(several), metric, title, mean))
    return means


def _facts(pairs: Sequence[Pair]) -> list[tuple[str, str, str]]:
    """What was set up otherwise, before and after, over all pairs."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for pair in pairs:
        first, second = _setup(pair.before.result), _setup(pair.after.result)
        for what in {**first, **second}:
            one, two = first.get(what, "–"), second.get(what, "–")
            if one != two:
                sides = found.setdefault(what, ({}, {}))
                sides[0][one], sides[1][two] = None, None
    return [(what, "; ".join(one), "; ".join(two)) for what, (one, two) in found.items()]


def _setup(result: Result) -> dict[str, str]:
    threat, attack = result.threat, result.attack
    return {
        "Defences": defence_words(result.defences),
        "Answers": answer_words(result),
        "Attack": attack.name,
        "Countermeasure": counter_words(attack),
        **{f"Setting {name}": setting_words(value) for name, value in attack.settings.items()},
        "Student": attack.student,
        "Proxy data": attack.proxy or "none",
        "Query budget": f"{threat.query_budget:,}",
        "Queries answered": f"{result.spent:,}",
        "Input precision": threat.input_precision,
        "Access": threat.access,
        "Version": result.provenance.version,
    }


def comparison_json(found: Comparison) -> str:
    """The comparison as JSON, for a program."""
    document = {
        "schema": SCHEMA,
        "victim": found.victim,
        "changed": [{"what": what, "before": one, "after": two} for what, one, two in found.facts],
        "pairs": [
            {
                "before": pair.before.place,
                "after": pair.after.place,
                "attack": pair.attack,
                "seed": _seed(pair.after),
                "differences": {
                    shift.metric: {
                        "before": shift.before.value,
                        "after": shift.after.value,
                        "value": shift.difference,
                        "low": None if shift.interval is None else shift.interval[0],
                        "high": None if shift.interval is None else shift.interval[1],
                    }
                    for shift in pair.shifts
                },
                "why_no_interval": pair.why_no_interval or None,
            }
            for pair in found.pairs
        ],
        "means": [
            {
                "attack": mean.label,
                "seeds": mean.seeds,
                "metric": mean.metric,
                "value": mean.difference.value,
                "low": mean.difference.low,
                "high": mean.difference.high,
            }
            for mean in found.means
        ],
        "left_out": list(found.left_out),
        "notes": list(found.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
