"""The result of a panel: the cheapest clone of all its attacks, in words and by numbers.

The cheapest clone is chosen by its score on the test rows, among all clones that were scored: the
highest level of chance-corrected agreement that any of them reached, and the first clone that
reached it. Such a choice flatters the chosen one, so its interval is simultaneous: it holds for all
m scored clones at once (Bonferroni: each at 1 - 0.05 / m), whichever is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clonecost.evaluation.seed_interval import CONFIDENCE
from clonecost.report.aggregate import Estimate, Group, Point
from clonecost.report.number_format import about_usd, count, percent, percent_range
from clonecost.result import PanelDocument, PanelEntry
from clonecost.result.fingerprint import Fingerprint

EXACTLY = "an exact copy of the last layer, if the backbone is frozen"
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99)  # of chance-corrected agreement


@dataclass(frozen=True, eq=False)
class Cheapest:
    """The cheapest clone of a panel.

    Attributes:
        agreement: with the simultaneous interval.
        level: of chance-corrected agreement, the highest of `LEVELS` that was reached; None: none.
        scored: the number of clones for which the interval holds at once.
    """

    group: Group
    point: Point
    agreement: Estimate
    level: float | None
    scored: int


def cheapest(groups: Sequence[Group]) -> Cheapest | None:
    """The cheapest clone at the highest level that any reached; None: no attack learnt anything.

    Where no clone reached a level, it is the final clone with the highest agreement.
    """
    attacks = [group for group in groups if group.learnt and not group.reference]
    if not attacks:
        return None
    scored = sum(len(group.points) for group in groups)
    for level in reversed(LEVELS):
        reached = [
            (point.queries, -point.corrected.value, place, group, point)
            for place, group in enumerate(attacks)
            for point in group.points
            if point.queries == group.reached(level)
        ]
        if reached:
            *_, group, point = min(reached, key=lambda one: one[:3])
            return Cheapest(group, point, simultaneous(point, group, scored), level, scored)
    best = max(attacks, key=lambda group: group.final.corrected.value)
    return Cheapest(best, best.final, simultaneous(best.final, best, scored), None, scored)


def simultaneous(point: Point, group: Group, scored: int) -> Estimate:
    """A point's agreement with an interval that holds for `scored` points at once.

    One seed: Wilson's interval over the test rows. More: Student's over the seeds, widened by the
    ratio of the quantiles.
    """
    from scipy.special import ndtri, stdtrit  # without the slow import of scipy.stats

    tail = (1 - CONFIDENCE) / 2
    found, seeds = point.agreement, len(group.runs)
    if seeds == 1:
        rows, z = group.first.victim.test_rows, float(-ndtri(tail / scored))
        middle = (found.value + z * z / (2 * rows)) / (1 + z * z / rows)
        half = z / (1 + z * z / rows)
        half *= (found.value * (1 - found.value) / rows + z * z / (4 * rows * rows)) ** 0.5
        low, high = middle - half, middle + half
    else:
        wider = float(stdtrit(seeds - 1, 1 - tail / scored) / stdtrit(seeds - 1, 1 - tail))
        low = found.value - wider * (found.value - found.low)
        high = found.value + wider * (found.high - found.value)
    return Estimate(found.value, max(0.0, min(low, found.low)), min(1.0, max(high, found.high)))


def panel_headline(groups: Sequence[Group], panel: PanelDocument) -> str:
    """The result of a panel in two sentences that stand alone.

    Example:
        "The cheapest clone that we could make: 91 % agreement (95 % CI 89 to 92 %) for 12,000
        queries, about $12, by an attacker who owns nothing (ex_nihilo). Nobody reached 95 %
        chance-corrected agreement within 50,000 queries."
    """
    found, spent = cheapest(groups), max((group.spent for group in groups), default=0)
    if found is None:
        ran = count(sum(entry.run is not None for entry in panel.entries), "attack")
        return (
            f"No clone of the panel is better than one that ignores its input: {ran} failed within "
            f"{count(spent, 'query')} each. This says little about the victim."
        )
    group, agreement = found.group, found.agreement
    usd = group.cost_of(found.point.queries)
    price = "" if usd is None else f", {about_usd(usd)}"
    seeds = f"mean of {len(group.runs)} seeds; " if len(group.runs) > 1 else ""
    first = (
        f"The cheapest clone that we could make: {percent(agreement.value)} agreement ({seeds}95 % "
        f"CI {percent_range(agreement.low, agreement.high)}) for "
        f"{count(found.point.queries, 'query')}{price}, by an attacker who owns "
        f"{owns(group, panel)} ({group.first.attack.name})."
    )
    return f"{first}{_nobody(found, spent)}{_untold(panel)}"


def owns(group: Group, panel: PanelDocument) -> str:
    """What the attacker of a group owns, in words."""
    entry = entry_of(group, panel)
    return entry.owns if entry else group.first.attack.proxy or "nothing"


def entry_of(group: Group, panel: PanelDocument) -> PanelEntry | None:
    """The panel's entry of a group's first run; None: the run belongs to no panel."""
    names = {run.name for run in group.runs}
    return next((entry for entry in panel.entries if entry.run in names), None)


def ended_words(entry: PanelEntry) -> str:
    """How an entry ended, in words."""
    words = {
        "finished": "finished", "budget_exhausted": "budget used up", "not_run": "not run",
        "failed": "failed", None: "not yet run",
        "stopped": f"stopped after {count(entry.spent, 'query')}",
    }  # fmt: skip
    return f"{words[entry.ended]}: {entry.why}" if entry.why else words[entry.ended]


def entry_lines(groups: Sequence[Group], panel: PanelDocument) -> list[str]:
    """One line for each entry: what the attacker owned, what came of it, and how it ended."""
    finals = {run.name: run.result for group in groups for run in group.runs}
    lines = []
    for entry in panel.entries:
        result = finals.get(entry.run or "")
        found = (
            f"{result.curve[-1].agreement} for {count(entry.spent, 'query')}; " if result else ""
        )
        lines.append(f"{entry.name}, owns {entry.owns}: {found}{ended_words(entry)}")
    return [*fingerprint_lines(panel.fingerprint), *lines, *measure_lines(groups, panel)]


def fingerprint_lines(found: Fingerprint | None) -> list[str]:
    """What public pictures showed of the model's backbone, and what follows; [] without."""
    if found is None or not found.backbones:
        return []
    best = found.backbones[0]
    share = percent(max(0.0, best.explained))
    signs = {
        "recognised": f"the model has the public backbone {best.name}, which explains {share} of "
        "the answers",
        "likely": f"the model probably has the public backbone {best.name}, which explains "
        f"{share} of the answers",
        "no sign": f"no sign of a public backbone: {best.name} explains {share} of the answers",
    }
    kinds = {"label": "labels only", "top_k": "the likeliest classes", "probs": "probabilities"}
    digits = f"rounded to {found.step:g}" if found.step else "with all digits of float32"
    shows = kinds[found.answers] + (f" {digits}" if found.answers == "probs" else "")
    lines = [f"fingerprint, {count(found.asked, 'query')}: {signs[best.sign]}; it shows {shows}"]
    told = next((one for one in found.attacks if one.attack == "frozen_head"), None)
    if told is not None and told.queries:
        lines.append(f"fingerprint: {count(told.queries, 'query')} give frozen_head {EXACTLY}")
    return lines


def measure_lines(groups: Sequence[Group], panel: PanelDocument) -> list[str]:
    """One line for each measure that the panel took after its attacks."""
    finals = {run.name: run.result for group in groups for run in group.runs}
    names = {entry.run: entry.name for entry in panel.entries}
    lines = []
    for one in panel.measures:
        what = {"detectors": "detectors", "labels": "labels only"}[one.kind]
        about = f" on {names[one.of]}" if one.of in names else ""
        result = finals.get(one.run or "")
        found = f"{result.curve[-1].agreement} for {count(one.spent, 'query')}" if result else ""
        words = one.why or found or "not yet measured"
        ended = {"not_run": "not measured: ", "failed": "failed: "}.get(one.ended or "", "")
        lines.append(f"measure, {what}{about}: {ended}{words}")
    return lines


def envelope(groups: Sequence[Group]) -> list[tuple[int, float]]:
    """(queries, the highest agreement of any clone of at most as many), ascending in both."""
    best, found = 0.0, []
    points = [point for group in groups if not group.reference for point in group.points]
    for point in sorted(points, key=lambda point: (point.queries, -point.agreement.value)):
        if point.agreement.value > best:
            best = point.agreement.value
            found.append((point.queries, best))
    return found


def _nobody(found: Cheapest, spent: int) -> str:
    above = next((level for level in LEVELS if level > (found.level or 0.0)), None)
    if above is None:
        return ""
    return (
        f" Nobody reached {percent(above)} chance-corrected agreement within "
        f"{count(spent, 'query')}."
    )


def _untold(panel: PanelDocument) -> str:
    """How many attacks were cut short or not run: what they would reach is not known."""
    stopped = sum(entry.ended == "stopped" for entry in panel.entries)
    left = sum(entry.ended in ("not_run", "failed") for entry in panel.entries)
    parts = [
        f"{number} of {len(panel.entries)} attacks {words}"
        for number, words in ((stopped, "ended early"), (left, "were not run or failed"))
        if number
    ]
    return f" {' and '.join(parts)}, and what they would reach is not known." if parts else ""
