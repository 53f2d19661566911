"""What was measured to protect the victim: the effect, the price for users and who does best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clonecost.evaluation.paired import paired_difference
from clonecost.report.aggregate import (
    Estimate,
    Group,
    answer_words,
    counter_words,
    defence_words,
)
from clonecost.report.number_format import percent, points, points_range
from clonecost.result import Result
from clonecost.result.defence_grid import LABEL, NONE, Attacker, DefenceGrid, DefenceRow
from clonecost.result.utility import Utility

COSTLY = (float("inf"), float("inf"))  # not measured
LABELS_ONLY = (0.0, 2.0)  # no class changes, and every probability is gone


@dataclass(frozen=True)
class Measure:
    """One measure against cloning, judged by the attacker that does best against it."""

    name: str
    effect: Estimate  # agreement that it takes from the attacker, compared with the victim as it is
    price: tuple[float, float]  # changed classes and distance, rounded to what a user could notice
    price_words: str
    attacker: str  # that does best against it, with its agreement
    remark: str = ""

    @property
    def works(self) -> bool:
        """Whether the effect is above what the measure changes itself, within its interval.

        Even an exact copy of the served labels disagrees where they are changed: agreement that is
        taken so is bought with as many wrong answers to users, and protects nothing.
        """
        changed = self.price[0]
        return self.effect.low > (changed if math.isfinite(changed) else 0)

    @property
    def effect_words(self) -> str:
        """The effect with its interval, in one clause."""
        effect = self.effect
        interval = f"95 % CI {points_range(effect.low, effect.high)}"
        taken = f"takes {points(effect.value).lstrip('+')} of agreement from the attacker"
        return f"{taken} ({interval})"


def measures(grid: DefenceGrid | None, groups: Sequence[Group]) -> list[Measure]:
    """Everything measured, the cheapest for users first; of one price, the strongest first.

    With a grid, its rows; without, groups of runs that differ in the defences or answers only.
    Users pay first with changed classes, then with the distance of the answers.
    """
    found = _of_grid(grid) if grid else _of_groups(groups)
    return sorted(found, key=lambda one: (one.price, -one.effect.value, one.name))


def name_of(defence: str) -> str:
    """A row of the grid in words.

    Example:
        >>> name_of("label")
        'labels only'
    """
    return {NONE: "no defence", LABEL: "labels only"}.get(defence, defence)


def no_more_than_label(row: DefenceRow) -> bool:
    """Whether a row is a defence that protects no more than showing labels only."""
    return row.defence not in (NONE, LABEL) and row.more_than_label is False


def _of_grid(grid: DefenceGrid) -> list[Measure]:
    return [
        Measure(
            name_of(row.defence),
            Estimate(gain.value, gain.low, gain.high),
            _price(row.utility),
            _price_words(row.utility),
            _attacker_words(row.worst_attacker),
            "It protects no more than labels only." * no_more_than_label(row),
        )
        for row in grid.rows
        if row.defence != NONE and (gain := row.gain_over_none) is not None
    ]


def _price(utility: Utility | None) -> tuple[float, float]:
    return COSTLY if utility is None else (round(utility.flips.value, 3), round(utility.l1_mean, 2))


def _price_words(utility: Utility | None) -> str:
    if utility is None:
        return "its price for users was not measured"
    changed = (
        "it changes no user's top class"
        if utility.flips.value == 0
        else f"it changes the top class of {percent(utility.flips.value, 1)} of test rows"
    )
    return f"{changed}, and probabilities by {utility.l1_mean:.2f} in the mean (L1, at most 2)"


def _attacker_words(one: Attacker) -> str:
    return f"{one.counter} ({percent(one.agreement.value, 1)} agreement)"


def _of_groups(groups: Sequence[Group]) -> list[Measure]:
    """Each kind of defences and answers, compared with the same attacks without them.

    As in a grid, the attacker who does best counts on either side, with or without countermeasures.
    """
    tried: dict[str, list[tuple[Group, Group]]] = {}  # by what is served: (plain, other)
    for other in groups:
        plain = next((one for one in groups if _is_plain(one.first, other.first)), None)
        if plain is not None:
            served = other.first.model_dump_json(
                include={"victim", "threat", "defences"}, exclude={"victim": {"served"}}
            )
            tried.setdefault(served, []).append((plain, other))
    return [_of_pairs(pairs) for pairs in tried.values()]


def _of_pairs(pairs: Sequence[tuple[Group, Group]]) -> Measure:
    """A measure that all pairs share: (without it, with it) for one attacker each."""
    plain, worst = (max(several, key=_agreement) for several in zip(*pairs, strict=True))
    first = worst.first
    facts = [defence_words(first.defences)] if first.defences else []
    to_labels = first.threat.answers == "label"
    only_labels = not facts and to_labels
    if first.threat.answers != plain.first.threat.answers:
        facts.append(name_of(LABEL) if to_labels else f"answers with {answer_words(first)} only")
    counter = f" with {counter_words(first.attack)}" if first.attack.counter else ""
    of = "the only attacker" if len(pairs) == 1 else f"the best of {len(pairs)} attackers"
    return Measure(
        " and ".join(facts),
        _taken(plain, worst),
        LABELS_ONLY if only_labels else COSTLY,
        "users get the top class without any probability"
        if only_labels
        else "its price for users was not measured",
        f"{first.attack.name}{counter} ({percent(_agreement(worst), 1)} agreement), {of} tried on "
        "it",
    )


def _agreement(group: Group) -> float:
    return group.final.agreement.value


def _is_plain(plain: Result, other: Result) -> bool:
    """Whether `other` is the audit `plain` on a victim with defences or poorer answers.

    The attacker of `other` may answer them with a countermeasure.
    """
    if plain.reference or other.reference or plain.defences or plain.attack.counter:
        return False
    same = (
        plain.victim == other.victim
        and plain.attack == other.attack.model_copy(update={"counter": None})
        and plain.threat
        == other.threat.model_copy(
            update={"answers": plain.threat.answers, "top_k": plain.threat.top_k}
        )
    )
    before, now = plain.threat.answers, other.threat.answers
    poorer = before != now and (before == "probs" or now == "label")
    return same and (bool(other.defences) or poorer)


def _taken(plain: Group, other: Group) -> Estimate:
    """Agreement of `plain` minus that of `other`, on the same test rows where they are kept."""
    one, two = plain.runs[0].rows, other.runs[0].rows
    if len(plain.runs) == len(other.runs) == 1 and one and two and one.test == two.test:
        found = paired_difference(two.agrees, one.agrees)
        return Estimate(found.value, found.low, found.high)
    before, after = plain.final.agreement, other.final.agreement
    value = before.value - after.value
    return Estimate(
        value,
        value - math.hypot(before.value - before.low, after.high - after.value),
        value + math.hypot(before.high - before.value, after.value - after.low),
    )
