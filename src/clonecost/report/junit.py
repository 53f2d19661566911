"""A report as JUnit XML: one test case for each limit and for each run."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from clonecost.report.aggregate import group_runs
from clonecost.report.documents import Material
from clonecost.report.load_runs import Run
from clonecost.report.verdict import headline, verdict
from clonecost.result.gate import Outcome
from clonecost.safe_text import one_line

SUITE, LIMITS, RUNS = "clonecost", "clonecost.limits", "clonecost.runs"
# what XML 1.0 cannot hold, however it is written
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(material: Material, outcomes: Sequence[Outcome] = ()) -> str:
    """A suite with a case for each limit, which fails above it, and a case for each run.

    Without limits, a run in the band "vulnerable" fails; with limits, they alone decide. An attack
    that failed is skipped with the reason.
    """
    suite = ET.Element("testsuite", name=SUITE)
    for outcome in outcomes:
        _limit(suite, outcome)
    for group in material.groups:
        for run in group.runs:
            _run(suite, run, group.label, by_band=not outcomes)
    cases = list(suite)
    for name, tag in (("failures", "failure"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("errors", "0")
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _limit(suite: ET.Element, outcome: Outcome) -> None:
    case = ET.SubElement(suite, "testcase", classname=LIMITS, name=str(outcome.limit), time="0")
    of = f": {outcome.of}" if outcome.of else ""
    if outcome.status == "exceeded":
        ET.SubElement(case, "failure", message=_text(f"{outcome.sentence}{of}"), type="limit")
    elif outcome.status != "passed":
        ET.SubElement(case, "skipped", message=_text(outcome.sentence))


def _run(suite: ET.Element, run: Run, label: str, *, by_band: bool) -> None:
    (group,) = group_runs([run])
    result, found = run.result, verdict(group)
    case = ET.SubElement(
        suite, "testcase", classname=RUNS,
        name=_text(f"{label}, seed {result.provenance.seed} ({run.place})"),
        time=f"{result.seconds:.3f}",
    )  # fmt: skip
    said = _text(f"{headline(group)} {found.reason}")
    if by_band and found.band == "vulnerable":
        ET.SubElement(case, "failure", message=said, type="verdict")
    elif found.band in ("failed", "reference"):
        ET.SubElement(case, "skipped", message=said)
    ET.SubElement(case, "system-out").text = said


def _text(words: str) -> str:
    """A stranger's words, of which XML can hold every character."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", one_line(words))
