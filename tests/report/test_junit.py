"""The report as JUnit XML: one case for each limit and each run, and valid XML in any case."""

import xml.etree.ElementTree as ET

import pytest
from tests.support.html_pages import HOSTILE
from tests.support.synthetic_runs import at_corrected, run

from clonecost.report import Run, junit
from clonecost.result.gate import Limit, Outcome, apply

GOOD = run("good", attack="good", curve=[(100, at_corrected(0.95, 0.94, 0.96))])
CALM = run("calm", attack="calm", curve=[(100, at_corrected(0.5, 0.4, 0.6))])
FAILED = run("failed", attack="bad", curve=[(100, at_corrected(0.02, -0.01, 0.05))])


def cases(runs: list[Run], outcomes: list[Outcome] | None = None) -> dict[str, ET.Element]:
    tree = ET.fromstring(junit(runs, outcomes=outcomes or []))  # our own
    (suite,) = tree.findall("testsuite")
    found = suite.findall("testcase")
    assert suite.get("tests") == str(len(found))
    for name, tag in (("failures", "failure"), ("skipped", "skipped")):
        assert suite.get(name) == str(sum(case.find(tag) is not None for case in found))
    return {case.get("name", ""): case for case in found}


def test_a_vulnerable_run_fails_and_a_failed_attack_is_skipped() -> None:
    found = cases([GOOD, CALM, FAILED])
    assert len(found) == 3
    failure = found["good, seed 0 (good)"].find("failure")
    assert failure is not None
    assert "is above 90 %" in failure.get("message", "")
    assert [child.tag for child in found["calm, seed 0 (calm)"]] == ["system-out"]
    skipped = found["bad, seed 0 (failed)"].find("skipped")
    assert skipped is not None
    assert "No verdict" in skipped.get("message", "")


def test_with_limits_they_alone_decide() -> None:
    limits = [Limit("agreement", 0.5, worst=True), Limit("agreement", 0.99), Limit("accuracy", 1.0)]
    runs = [GOOD, FAILED]
    found = cases(runs, [apply(limit, [one.result for one in runs]) for limit in limits])
    failure = found["worst.agreement=0.5"].find("failure")
    assert failure is not None
    assert failure.get("message") == "worst.agreement 0.955 is above 0.5: good (seed 0)"
    assert list(found["agreement=0.99"]) == []
    assert found["good, seed 0 (good)"].find("failure") is None
    assert found["bad, seed 0 (failed)"].find("skipped") is not None


def test_a_limit_on_failed_attacks_only_is_skipped() -> None:
    found = cases([FAILED], [apply(Limit("agreement", 0.5), [FAILED.result])])
    assert found["agreement=0.5"].find("skipped") is not None


@pytest.mark.parametrize("name", [HOSTILE, "a\x00\x1b[2Jb\ufffe\ud800", "]]>\n<failure/>"])
def test_names_of_strangers_stay_text(name: str) -> None:
    found = cases([run(attack=name, victim={"name": name})])
    assert len(found) == 1
