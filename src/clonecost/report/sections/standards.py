"""Which line of the report answers what standards ask, and whether it was measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from clonecost.report.documents import Material
from clonecost.report.model import Grid, GridRow, Section, Words, fine, text
from clonecost.report.number_format import count, percent
from clonecost.report.sections.advice import TITLE as ADVICE
from clonecost.report.sections.defences import TITLE as DEFENCES
from clonecost.report.sections.detection import TITLE as DETECTION

TITLE = "Standards"
NO_MORE = (
    "This report supports evidence for the items marked as measured. It does not show that a "
    "system meets any of them: each asks for more than a test of one model."
)
BANDS = (
    "OWASP AITG-APP-09 calls a model vulnerable above 90 % fidelity (agreement), names 75 % as the "
    "level of a warning, and asks for at least 1,000 to 5,000 queries. It does not consider "
    "chance: this report applies the levels to chance-corrected agreement and prints the "
    "majority-class baseline beside every agreement. The upper bound of the interval decides. "
    "Versions that were read: AISVS 1.0, AI Testing Guide of March 2026, ATLAS 5.6.0."
)
TESTED_ROWS = 1_000  # queries that AITG-APP-09 asks for at least
MARKS = (1_000, 5_000)  # queries at which its agreement is told

Status = Literal["measured", "not run"]


@dataclass(frozen=True)
class Item:
    """One line of a standard, paraphrased; the identifier is exact."""

    identifier: str
    asks: str
    answered: Callable[[Material], str | None]  # the line of the report; None: not run
    to_run: str = ""  # what would answer it


def standards(material: Material) -> Section:
    rows = tuple(_row(item, material) for item in ITEMS)
    columns = ("Identifier", "What it asks", "What this report says", "Status")
    return Section(TITLE, (text(NO_MORE), Grid(TITLE, columns, rows, wordy=True), fine(BANDS)))


def _row(item: Item, material: Material) -> GridRow:
    said = item.answered(material)
    status: Status = "not run" if said is None else "measured"
    cells = (item.identifier, item.asks, item.to_run if said is None else said, status)
    return GridRow(tuple(map(Words, cells)))


def _extraction(material: Material) -> str | None:
    black = [group for group in material.groups if not group.reference]
    if not black:
        return None
    return f"Verdict: {count(len(black), 'attack')} through the API"


def _bands(material: Material) -> str | None:
    """The largest agreement at or below 1,000 and 5,000 queries."""
    black = [group for group in material.groups if not group.reference]
    if not any(group.spent >= TESTED_ROWS for group in black):
        return None
    found = []
    for mark in MARKS:
        points = [
            max(known, key=lambda point: point.queries).agreement.value
            for group in black
            if (known := [point for point in group.points if 0 < point.queries <= mark])
        ]
        if points:
            found.append(f"{percent(max(points), 1)} within {count(mark, 'query')}")
    return f"Verdict and bands; largest agreement {', '.join(found)}" if found else "Verdict"


def _outputs(material: Material) -> str | None:
    """Whether anything was measured that limits what an answer shows."""
    if material.grid is not None:
        return f"{DEFENCES}: {count(len(material.grid.rows), 'row')}, label-only among them"
    limited = [
        group
        for group in material.groups
        if group.first.defences or group.first.threat.answers != "probs"
    ]
    return f"Verdict: {count(len(limited), 'attack')} on limited answers" if limited else None


def _detectors(material: Material) -> str | None:
    watched = [run for group in material.groups for run in group.runs if run.detection]
    return f"{DETECTION}: {count(len(watched), 'run')}" if watched else None


def _cap(material: Material) -> str | None:
    caps = [
        cap
        for group in material.groups
        for run in group.runs
        if run.detection
        for cap in run.detection.caps
    ]
    return f"{ADVICE}: the cap from the measured curve" if caps else None


def _never(material: Material) -> str | None:
    del material
    return None


def _taxonomy(material: Material) -> str | None:
    return _extraction(material) and "Threat model: what the attacker knows, sees and may spend"


def _act(material: Material) -> str | None:
    parts = [
        name
        for name, found in (
            ("the attacks (Verdict)", _extraction(material)),
            ("prevention (Defences)", _outputs(material)),
            ("detection", _detectors(material)),
        )
        if found
    ]
    return f"Supports evidence on {', '.join(parts)}" if parts else None


DEFEND = "“clonecost defend VICTIM” measures defences"
DETECT = "“clonecost detect RUN” measures detectors and a cap"
ITEMS = (
    Item(
        "MITRE ATLAS AML.T0024.002",
        "the technique “Extract AI Model”: a clone made from answers of the API",
        _extraction, "an attack through the API; only a white-box reference was run",
    ),
    Item(
        "MITRE ATLAS AML.M0002",
        "passive output obfuscation: fewer, coarser or smoothed results",
        _outputs, DEFEND,
    ),
    Item(
        "MITRE ATLAS AML.M0004",
        "a limit on the number of queries, in all and per time, for each user",
        _cap, DETECT,
    ),
    Item(
        "MITRE ATLAS AML.M0024",
        "records of queries that show misuse",
        _detectors, f"{DETECT}; it reads your own log, too",
    ),
    Item(
        "OWASP AITG-APP-09",
        "a clone from 1,000 to 5,000 queries or more, its fidelity on unseen inputs, and whether "
        "the queries were limited or noticed",
        _bands, "an attack with at least 1,000 queries",
    ),
    Item(
        "OWASP AISVS v1.0-C11.2.2",
        "rate limits sized to the threat of extraction, for each principal and in all",
        _cap, DETECT,
    ),
    Item(
        "OWASP AISVS v1.0-C11.3.1",
        "patterns of queries are analysed and lead to a detector",
        _detectors, DETECT,
    ),
    Item(
        "OWASP AISVS v1.0-C11.3.2",
        "raw scores are not shown; answers fit the risk of extraction",
        _outputs, DEFEND,
    ),
    Item(
        "OWASP AISVS v1.0-C11.3.3",
        "a watermark or fingerprint is in the model",
        _never, "nothing in this report: clonecost tests no mark in a clone",
    ),
    Item(
        "OWASP AISVS v1.0-C11.3.4",
        "a detection leads to a response",
        _never, "nothing in this report: test the response in your own operations",
    ),
    Item(
        "OWASP AISVS v1.0-C12.2.4",
        "an alert carries the metadata of the queries",
        _never, "nothing in this report; the ledger of a run shows what an attack sends",
    ),
    Item(
        "OWASP LLM10:2025",
        "unbounded consumption, with the copying of a model through its API: limits on queries and "
        "on scores in the answers",
        lambda material: _cap(material) or _outputs(material), f"{DEFEND}; {DETECT}",
    ),
    Item(
        "NIST AI 100-2",
        "the taxonomy of attacks: model extraction, with the attacker's goals and knowledge",
        _taxonomy, "an attack through the API",
    ),
    Item(
        "EU AI Act, Art. 15(5)",
        "high-risk systems: measures to prevent, detect, respond to, resolve and control attacks, "
        "those on confidentiality among them",
        _act, "an attack through the API",
    ),
)  # fmt: skip
