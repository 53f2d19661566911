"""What would help: the cheapest measures that were measured, and the cap and alarm to set."""

from collections.abc import Sequence

from clonecost.report.documents import Material
from clonecost.report.measures import Measure, measures
from clonecost.report.model import Block, Bullets, Code, Inline, Section, Strong, fine, quiet, text
from clonecost.report.number_format import count, percent
from clonecost.report.sections.defences import TO_RUN
from clonecost.report.verdict import WARNING
from clonecost.result.detection import Detection

TITLE = "What would help"
MOST = 3
LEVEL = f"{percent(WARNING)} chance-corrected agreement"
NOTHING = "Nothing that protects was measured, so this report names no measure and no number. "
NO_DEFENCE = "No defence was measured. Run "
NO_ALARM = "Neither a cap nor an alarm was measured. Run "
DETECT = "clonecost detect RUN"
RULE = (
    "The measures are those whose effect is, within its interval, above 0 and above the share of "
    "top classes that they change: a wrong answer to a user takes agreement without protecting "
    "anything. The cheapest for users come first: fewest changed top classes, then the smallest "
    "change of probabilities, then the largest effect. A cap holds for one account: without a "
    "price on identities, an attacker opens more."
)


def advice(material: Material) -> Section:
    found = measures(material.grid, material.all_groups)
    runs = [run for group in material.groups for run in group.runs]
    watched = [run.detection for run in runs if run.detection is not None]
    if not found and not watched:
        then = (Code(TO_RUN), " for defences, and ", Code(DETECT), " for a cap and an alarm.")
        return Section(TITLE, (quiet(NOTHING, "Run ", *then),))
    blocks: list[Block] = [*_defences(found), *_watching(watched), fine(RULE)]
    return Section(TITLE, tuple(blocks))


def _defences(found: Sequence[Measure]) -> list[Block]:
    if not found:
        return [quiet(NO_DEFENCE, Code(TO_RUN), ".")]
    working = [measure for measure in found if measure.works]
    if not working:
        strongest = max(found, key=lambda one: one.effect.value)
        none = "The measure that was tried does not take"
        if len(found) > 1:
            none = f"None of {count(len(found), 'measure')} takes"
        return [
            text(
                f"{none} agreement from the attacker, within its interval, beyond "
                "what it takes by wrong answers to users. The largest effect: "
                f"{strongest.name} {strongest.effect_words}; {strongest.price_words}."
            )
        ]
    return [Bullets(tuple(map(_item, working[:MOST])))]


def _item(measure: Measure) -> tuple[Inline, ...]:
    price = measure.price_words[0].upper() + measure.price_words[1:]
    remark = f" {measure.remark}" if measure.remark else ""
    return (
        Strong(measure.name),
        f" {measure.effect_words}. {price}. The attacker that does best against it: "
        f"{measure.attacker}.{remark}",
    )


def _watching(watched: Sequence[Detection]) -> list[Block]:
    if not watched:
        return [quiet(NO_ALARM, Code(DETECT), ".")]
    items = ((Strong("Cap:"), f" {_cap(watched)}"), (Strong("Alarm:"), f" {_alarm(watched)}"))
    return [Bullets(items)]


def _cap(watched: Sequence[Detection]) -> str:
    """The strictest cap for the warning level."""
    caps = [cap for one in watched for cap in one.caps if cap.band == WARNING]
    if not caps:
        return "none was derived."
    low = next((cap for cap in caps if cap.reached is not None and not cap.per_day), None)
    if low is not None:
        return (
            f"not even one query a day keeps an account of {count(low.days, 'day')} below "
            f"{LEVEL}, as far as the curve tells: the first scored clone that "
            f"may be above it came after {count(low.reached or 0, 'query')}. Earlier milestones "
            "may give a number."
        )
    reached = [cap for cap in caps if cap.reached is not None]
    if not reached:
        known = min(caps, key=lambda one: one.per_day or 0)
        return (
            f"no attack reached {LEVEL} within its budget. The curve says "
            f"nothing beyond {count(known.per_day or 0, 'query')} a day for an account of "
            f"{count(known.days, 'day')}."
        )
    cap = min(reached, key=lambda one: one.per_day or 0)
    accounts = (
        ""
        if cap.accounts_in_a_day is None
        else f" An attacker with {count(cap.accounts_in_a_day, 'account')} reaches it in one day."
    )
    return (
        f"at most {count(cap.per_day or 0, 'query')} a day for one account keep an account of "
        f"{count(cap.days, 'day')} below {LEVEL}.{accounts}"
    )


def _alarm(watched: Sequence[Detection]) -> str:
    """The detector that alarms on most of the runs, and of those the earliest."""
    alarms: dict[str, list[int]] = {}
    for one in watched:
        for found in one.detectors:
            if found.alarm is not None:
                alarms.setdefault(found.name, []).append(found.alarm)
    if not alarms:
        return "none of the detectors that were tried noticed an attack."
    name = min(alarms, key=lambda name: (-len(alarms[name]), max(alarms[name]), name))
    runs = "" if len(watched) == 1 else f" on {len(alarms[name])} of {len(watched)} runs"
    late = count(max(alarms[name]), "query")
    return (
        f"the detector {name} alarms{runs}, after {late} at the latest. Calibrate it on your own "
        "traffic before you rely on it: the thresholds here hold for the benign traffic that is "
        "named below."
    )
