"""Grouping of runs that differ only in the seed, with means and confidence intervals."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from clonecost.evaluation.seed_interval import t_interval
from clonecost.report.load_runs import Run
from clonecost.result import AttackCard, DefenceCard, Measured, Rate, Result, Score, metrics

OWN = ("agreement", "corrected_agreement", "accuracy")  # metrics with a field of a `Point`
OTHERS = tuple(name for name in metrics() if name not in OWN)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % CI: over test inputs (one seed) or over seeds (two or more)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """The clones of all seeds after at most `queries` queries each."""

    queries: int
    agreement: Estimate
    corrected: Estimate  # chance-corrected agreement: decides verdict, bands and levels
    learnt: bool  # the clone of a seed is better than one that ignores its input
    accuracy: Estimate | None  # None: the test set has no labels
    # every other metric of a `Score`: an estimate, or the mean over seeds, which may be infinite;
    # None if it is not known
    others: Mapping[str, Estimate | float | None]


@dataclass(frozen=True, eq=False)
class Group:
    """Runs with the same victim, threat, attack, settings and defences; one run per seed."""

    label: str  # short, and unique in its report
    runs: tuple[Run, ...]  # by seed
    points: tuple[Point, ...]  # by queries; the last one decides the verdict

    @property
    def first(self) -> Result:
        """The result that stands for what all runs share."""
        return self.runs[0].result

    @property
    def final(self) -> Point:
        return self.points[-1]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.result.provenance.seed for run in self.runs)

    @property
    def spent(self) -> int:
        """Queries answered to the attack; where the seeds differ, the largest number."""
        return max(run.result.spent for run in self.runs)

    @property
    def lost(self) -> int:
        """Queries paid without an answer; where the seeds differ, the largest number."""
        return max(run.result.lost for run in self.runs)

    @property
    def usd(self) -> float | None:
        """The price of one clone, lost queries included; where the seeds differ, the largest."""
        prices = [run.result.price.usd for run in self.runs if run.result.price.usd is not None]
        return max(prices) if prices else None

    @property
    def majority_baseline(self) -> float:
        """Agreement of a clone that always gives the victim's most frequent class."""
        return fmean(run.result.majority_agreement for run in self.runs)

    @property
    def victim_accuracy(self) -> float | None:
        """None: the test set has no labels."""
        accuracy = self.first.victim.accuracy
        return None if accuracy is None else accuracy.value

    @property
    def learnt(self) -> int:
        """The number of seeds whose last clone learnt anything."""
        return sum(run.result.learnt for run in self.runs)

    @property
    def reference(self) -> bool:
        """White-box, or made with clean answers: no attacker behind the API has such a clone."""
        return self.first.reference

    def reached(self, level: float) -> int | None:
        """Queries of the first scored clone whose chance-corrected agreement is at least `level`.

        None if there is none. A clone that learnt nothing reaches none.
        """
        learnt = (point for point in self.points if point.learnt)
        return next((point.queries for point in learnt if point.corrected.value >= level), None)

    def cost_of(self, queries: int) -> float | None:
        """US dollars for that number of answered queries; None without a price."""
        unit = self.first.usd_per_1000_queries
        return None if unit is None else queries * unit / 1000


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group runs that differ only in the seed; strongest first, references last.

    Repeats of one audit with the same seed are not independent: each repeat forms its own group.
    """
    members: dict[tuple[str, int], list[Run]] = defaultdict(list)
    seen: Counter[tuple[str, int]] = Counter()
    for run in runs:
        key, seed = _key(run.result), run.result.provenance.seed
        members[key, seen[key, seed]].append(run)
        seen[key, seed] += 1
    ordered = [
        sorted(group, key=lambda run: run.result.provenance.seed) for group in members.values()
    ]
    labels = _labels([group[0].result for group in ordered])
    groups = [
        Group(label, tuple(group), points_of([run.result.curve for run in group]))
        for label, group in zip(labels, ordered, strict=True)
    ]
    return sorted(groups, key=lambda g: (g.reference, -g.final.corrected.value, g.spent, g.label))


def estimate(rates: Sequence[Measured]) -> Estimate:
    """One seed: its own interval. More: the mean with Student's t-interval over seeds."""
    if len(rates) == 1:
        return Estimate(rates[0].value, rates[0].low, rates[0].high)
    low, high = t_interval([rate.value for rate in rates])
    # Rounded so that the mean of three times 0.9 is not below 0.9.
    mean = round(fmean(rate.value for rate in rates), 12)
    least = 0.0 if isinstance(rates[0], Rate) else -math.inf
    return Estimate(mean, max(least, min(low, mean)), min(1.0, max(high, mean)))


def estimate_known(rates: Sequence[Measured | None]) -> Estimate | None:
    """`estimate`, or None if one of the rates is not known."""
    known = [rate for rate in rates if rate is not None]
    return estimate(known) if len(known) == len(rates) else None


def defence_words(defences: Sequence[DefenceCard]) -> str:
    """Defences from the victim outwards with their settings, or "none"."""
    return " + ".join(f"{d.name}{_settings_words(d.settings)}" for d in defences) or "none"


def counter_words(attack: AttackCard) -> str:
    """The attack's countermeasure with its settings, or "none"."""
    counter = attack.counter
    return f"{counter.name}{_settings_words(counter.settings)}" if counter else "none"


def answer_words(result: Result) -> str:
    """The content of an answer, in two words."""
    words = {
        "label": "hard label",
        "top_k": f"top {result.threat.top_k}",
        "probs": "all probabilities",
    }
    return words[result.threat.answers]


def points_of(curves: Sequence[Sequence[Score]]) -> tuple[Point, ...]:
    """One point a milestone; at each, every seed counts with its last clone up to that point."""
    if len({len(curve) for curve in curves}) == 1:
        # The same milestones, which an attack may overshoot by another few rows in each seed.
        grid = {max(score.queries for score in scores) for scores in zip(*curves, strict=True)}
    else:
        grid = {score.queries for curve in curves for score in curve}
    start = max(curve[0].queries for curve in curves)
    return tuple(_point(q, [_at(curve, q) for curve in curves]) for q in sorted(grid) if q >= start)


def _at(curve: Sequence[Score], queries: int) -> Score:
    return [score for score in curve if score.queries <= queries][-1]


def _point(queries: int, scores: Sequence[Score]) -> Point:
    return Point(
        queries=queries,
        agreement=estimate([score.agreement for score in scores]),
        corrected=estimate([score.corrected_agreement for score in scores]),
        learnt=any(score.learnt for score in scores),
        accuracy=estimate_known([score.accuracy for score in scores]),
        others={name: _average(scores, name) for name in OTHERS},
    )


def _average(scores: Sequence[Score], name: str) -> Estimate | float | None:
    values = [getattr(score, name) for score in scores]
    if any(value is None for value in values):
        return None
    if isinstance(values[0], Measured):
        return estimate(values)
    return fmean(values)


def _key(result: Result) -> str:
    """Everything that defines an experiment except its seed."""
    document = result.model_dump(
        mode="json",
        include={"victim": True, "threat": True, "attack": True, "defences": True}
        | {"price": {"usd_per_1000"}},
        # the words on how it is run quote the first answers, which differ between seeds
        exclude={"victim": {"served"}, "attack": {"queries_per_iteration"}},
    )
    return json.dumps(_without_seed(document), sort_keys=True)


def _without_seed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_seed(item) for key, item in value.items() if key != "seed"}
    if isinstance(value, list):
        return [_without_seed(item) for item in value]
    return value


def _labels(results: Sequence[Result]) -> list[str]:
    """The attack's name, and those facts only that differ between attacks of the same name."""
    facets = [_facets(result) for result in results]
    several_victims = len({facet["victim"] for facet in facets}) > 1
    labels = []
    for result, own in zip(results, facets, strict=True):
        name = result.attack.name
        box = " (white box)" if result.threat.access == "white-box" else ""
        box = " (bound)" if result.bound else box
        same_name = [f for f, r in zip(facets, results, strict=True) if r.attack.name == name]
        different = [
            words
            for facet, words in own.items()
            if len({other.get(facet) for other in same_name}) > 1
            or (facet == "victim" and several_victims)
        ]
        labels.append(f"{name}{box} · {', '.join(different)}" if different else name + box)
    return _numbered(labels)


def _facets(result: Result) -> dict[str, str]:
    threat, attack = result.threat, result.attack
    defences = defence_words(result.defences)
    settings = {f"setting {k}": f"{k}={setting_words(v)}" for k, v in attack.settings.items()}
    settings.pop("setting seed", None)
    return {
        "victim": f"victim {result.victim.name}",
        "defences": "undefended" if defences == "none" else f"defended by {defences}",
        "counter": f"countermeasure {counter_words(attack)}",
        "answers": answer_words(result),
        "input": f"{threat.input_precision} inputs",
        "budget": f"budget {threat.query_budget:,}",
        "student": f"student {attack.student}",
        "proxy": f"proxy {attack.proxy}" if attack.proxy else "no proxy",
    } | settings


def _settings_words(settings: dict[str, Any]) -> str:
    words = ", ".join(f"{name}={setting_words(value)}" for name, value in settings.items())
    return f" ({words})" if words else ""


def setting_words(value: Any) -> str:
    """A setting as the spec would write it."""
    return value if isinstance(value, str) else json.dumps(value)


def _numbered(labels: Sequence[str]) -> list[str]:
    total, seen = Counter(labels), Counter[str]()
    unique = []
    for label in labels:
        seen[label] += 1
        unique.append(f"{label} ({seen[label]})" if total[label] > 1 else label)
    return unique
