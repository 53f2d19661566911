"""What a pipeline must be told: each finding of a report once, as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clonecost.report.aggregate import Group
from clonecost.report.documents import Material
from clonecost.report.measures import no_more_than_label
from clonecost.report.number_format import count, percent
from clonecost.report.summaries import flags
from clonecost.report.verdict import headline, verdict
from clonecost.result.gate import Outcome

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Rule:
    """A kind of finding; `identifier` is stable from version to version."""

    identifier: str
    name: str  # in CamelCase, for tools that list rules
    short: str
    help: str
    level: Level


@dataclass(frozen=True)
class Finding:
    """One finding: its rule, one sentence, and the file that shows it, relative to the report."""

    rule: Rule
    sentence: str
    file: str
    level: Level
    about: tuple[str, ...]  # what it is about, stable from run to run; makes the fingerprint


VULNERABLE = Rule(
    "clone-vulnerable", "CloneVulnerable", "A clone agrees with the model in more than 90 %",
    "The upper bound of the 95 % interval of chance-corrected agreement is above 90 %. Limit what "
    "an answer shows and how many queries an account has, and measure again.", "error",
)  # fmt: skip
WARNING = Rule(
    "clone-warning", "CloneWarning", "A clone agrees with the model in 75 to 90 %",
    "The upper bound of the 95 % interval of chance-corrected agreement is between 75 % and 90 %.",
    "warning",
)  # fmt: skip
NO_VERDICT = Rule(
    "attack-failed", "AttackFailed", "An attack made no clone that learnt anything",
    "A failed attack says nothing about the model: another attack or more queries may succeed.",
    "note",
)  # fmt: skip
FLAG = Rule(
    "audit-flag", "AuditFlag", "The audit warns about its own numbers",
    "A red flag marks a property of the audit that can mislead its reader.", "warning",
)  # fmt: skip
DEFENCE = Rule(
    "defence-no-better-than-label", "DefenceNoBetterThanLabel",
    "A defence protects no more than showing labels only",
    "An attacker can throw probabilities away. Where the gain over the label-only floor is not "
    "above 0 within its interval, the defence costs users something and takes nothing more.",
    "warning",
)  # fmt: skip
NO_ALARM = Rule(
    "no-detector-alarm", "NoDetectorAlarm", "No detector noticed the attack",
    "All queries of the attack were answered without an alarm at the stated false-alarm rate.",
    "warning",
)  # fmt: skip
GATE = Rule(
    "limit-exceeded", "LimitExceeded", "A limit of the pipeline is exceeded",
    "The largest value over the runs is above the limit that was given.", "error",
)  # fmt: skip
RULES = (VULNERABLE, WARNING, NO_VERDICT, FLAG, DEFENCE, NO_ALARM, GATE)


def findings(material: Material, outcomes: Sequence[Outcome] = ()) -> list[Finding]:
    """All findings: clones, failed attacks, flags, defences, detectors, limits."""
    return [
        *(found for group in material.groups for found in _of_group(group)),
        *_of_flags(material.groups),
        *_of_defences(material),
        *(
            Finding(GATE, f"{one.sentence}: {one.of}.", _RESULT, "error", (one.limit.asked,))
            for one in outcomes
            if one.status == "exceeded"
        ),
    ]


_RESULT = "result.json"


def _of_group(group: Group) -> list[Finding]:
    run, found = group.runs[-1], verdict(group)
    file, about = f"{run.place}/{_RESULT}", (group.first.victim.name, group.label)
    rule = {"vulnerable": VULNERABLE, "warning": WARNING, "failed": NO_VERDICT}.get(found.band)
    made = []
    if rule is not None:
        made.append(Finding(rule, f"{headline(group)} {found.reason}", file, rule.level, about))
    for run in group.runs:
        if run.detection is not None and not run.detection.noticed:
            seed = run.result.provenance.seed
            said = f"{group.label}, seed {seed}: {run.detection.verdict}"
            made.append(
                Finding(
                    NO_ALARM, said, f"{run.place}/detection.json", "warning", (*about, str(seed))
                )
            )
    return made


def _of_flags(groups: Sequence[Group]) -> list[Finding]:
    """A finding for each flag: in a grid, dozens of runs raise the same one."""
    made = []
    for raised in flags(groups):
        flag, labels = raised.flag, raised.labels
        group = next(group for group in groups if group.label == labels[0])
        more = f" and {count(len(labels) - 1, 'other attack')}" if len(labels) > 1 else ""
        level: Level = "warning" if flag.severity == "warning" else "note"
        said = f"{labels[0]}{more}: {flag.message} ({flag.code})"
        about = (group.first.victim.name, labels[0], flag.code)
        made.append(Finding(FLAG, said, f"{group.runs[-1].place}/{_RESULT}", level, about))
    return made


def _of_defences(material: Material) -> list[Finding]:
    grid = material.grid
    if grid is None:
        return []
    return [
        Finding(
            DEFENCE,
            f"{row.defence} protects no more than showing labels only: {row.worst} reaches "
            f"{percent(row.worst_attacker.agreement.value, 1)} agreement.",
            "defences.json", "warning", (grid.victim, row.defence),
        )
        for row in grid.rows if no_more_than_label(row)
    ]  # fmt: skip
