"""What was tested, and what was not, in one grid."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group, answer_words, defence_words
from clonecost.report.documents import Material
from clonecost.report.measures import name_of
from clonecost.report.model import Grid, GridRow, Section, Words, fine
from clonecost.report.number_format import count
from clonecost.result.defence_grid import NONE

TITLE = "What was tested and what was not"
OTHER_DATA = "any other data, such as your training data"
RULE = "What was not tested is not known; it is neither good nor bad news."


def scope(material: Material) -> Section:
    rows = (
        ("Attacks", *_attacks(material)),
        ("What the attacker owned", *_owned(material)),
        ("Answers", *_answers(material)),
        ("Queries", *_queries(material.groups)),
        ("Defences", *_defences(material)),
        ("Attackers that know the defence", *_counters(material)),
        ("Detectors", *_detectors(material.groups)),
        ("Owner's marks in the clone", "nothing", "watermarks and fingerprints of the victim"),
    )
    grid = Grid(
        TITLE,
        ("", "Tested", "Not tested"),
        tuple(GridRow(tuple(map(Words, row))) for row in rows),
        wordy=True,
    )
    return Section(TITLE, (grid, fine(RULE)))


def _attacks(material: Material) -> tuple[str, str]:
    names = dict.fromkeys(
        group.first.attack.name
        + (f" ({'bound' if group.first.bound else 'white-box reference'})" * group.reference)
        for group in material.groups
    )
    left = "every other attack of “clonecost list attacks”"
    if material.panel is None:
        return ", ".join(names), f"{left}; “clonecost audit VICTIM” runs a panel of them"
    not_run = [
        f"{entry.name} ({entry.why})" if entry.why else entry.name
        for entry in material.panel.entries
        if entry.ended in ("not_run", "failed")
    ]
    return f"{', '.join(names)} (panel: {material.panel.level})", "; ".join([*not_run, left])


def _owned(material: Material) -> tuple[str, str]:
    if material.panel is not None:
        ran = [one.owns for one in material.panel.entries if one.run is not None]
        return "; ".join(dict.fromkeys(ran)) or "nothing", OTHER_DATA
    proxies = dict.fromkeys(group.first.attack.proxy or "no data" for group in material.groups)
    return ", ".join(proxies), OTHER_DATA


def _answers(material: Material) -> tuple[str, str]:
    kinds = dict.fromkeys(answer_words(group.first) for group in material.groups)
    seen = {group.first.threat.answers for group in material.groups}
    if material.grid is not None:
        seen.add("label")
        kinds.setdefault("hard label")
    left = {"label": "labels only", "top_k": "top k", "probs": "all probabilities"}
    missing = [words for kind, words in left.items() if kind not in seen]
    return ", ".join(kinds), ", ".join(missing) or "–"


def _queries(groups: Sequence[Group]) -> tuple[str, str]:
    asked = [group.spent for group in groups if not group.reference]
    most = max(asked, default=0)
    return f"up to {count(most, 'query')}", f"more than {count(most, 'query')}"


def _defences(material: Material) -> tuple[str, str]:
    found = [defence_words(group.first.defences) for group in material.groups]
    if material.grid is not None:
        found += [name_of(row.defence) for row in material.grid.rows if row.defence != NONE]
    names = dict.fromkeys(one for one in found if one != "none")
    more = "every other defence of “clonecost list defences”"
    return ", ".join(names) or "none", more if names else f"{more}: run “clonecost defend VICTIM”"


def _counters(material: Material) -> tuple[str, str]:
    if material.grid is None:
        return "none", "all: “clonecost defend VICTIM” puts them beside each defence"
    names = dict.fromkeys(one.counter for row in material.grid.rows for one in row.attackers)
    return ", ".join(names), "every other attacker"


def _detectors(groups: Sequence[Group]) -> tuple[str, str]:
    found = [run.detection for group in groups for run in group.runs if run.detection]
    names = dict.fromkeys(
        one.name for detection in found for one in detection.detectors if one.why_not is None
    )
    left = "every other detector, and your own monitoring"
    return ", ".join(names) or "none", left if names else f"{left}: run “clonecost detect RUN”"
