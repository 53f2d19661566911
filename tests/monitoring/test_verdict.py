"""Which alarms decide, and the sentence that they make."""

import numpy as np
import pytest

from clonecost.monitoring.calibration import share
from clonecost.monitoring.verdict import honest_alarms, set_aside, verdict
from clonecost.result import Rate
from clonecost.result.detection import DetectorFinding


def of_200(alarms: int) -> Rate:
    return share(np.arange(200) < alarms)


def finding(name: str, alarm: int | None = None, false_alarms: int = 2) -> DetectorFinding:
    return DetectorFinding(
        name=name, settings={}, threshold=1.0, first_alarm=alarm, false_alarms=of_200(false_alarms)
    )


def said(*findings: DetectorFinding, rows: int = 720, rate: float = 0.01) -> str:
    return verdict(set_aside(findings, rate, 107), rows, rate, 107)


def test_an_alarm_of_a_detector_above_its_rate_decides_nothing() -> None:
    """12 of 200 are 6.0 % (3.5 to 10.2 %): 1 % is outside."""
    loose, silent = set_aside([finding("features", 20, 12), finding("labels")], 0.01, 107)
    assert (loose.first_alarm, loose.alarm) == (20, None)
    assert silent.set_aside is None
    words = said(loose, silent)
    assert words.startswith("No: none of labels alarmed on the 720 rows")
    assert "; features alarmed after 20 rows, but its threshold is too low: 6.0 %" in words
    assert "1.0 % were asked for" in words
    assert said(loose).startswith("Not known: no alarm decides; features alarmed after 20 rows")


@pytest.mark.parametrize(("alarms", "counts"), [(4, True), (5, False)])
def test_the_interval_of_false_alarms_decides(alarms: int, counts: bool) -> None:
    """Wilson's interval of 4 of 200 holds 1 %, that of 5 does not."""
    (one,) = set_aside([finding("labels", 20, alarms)], 0.01, 107)
    assert (one.alarm == 20) is counts


def test_the_first_alarm_that_counts_makes_the_sentence() -> None:
    words = said(finding("features", 20, 12), finding("labels", 240), finding("confidence", 60))
    assert words == (
        "Yes: confidence alarmed after 60 of 720 rows, before the first score of the clone; at any "
        "of the 2 detectors that decide at most 2.0 % of honest accounts alarm by then."
    )
    assert "at it at most 1.0 % of honest accounts" in said(finding("labels", 60))


def test_a_late_alarm_that_most_honest_accounts_give_decides_nothing() -> None:
    """At 1 % a stretch of 107 rows, 51 stretches make more than half of honest accounts alarm."""
    for alarm, counts in ((50 * 107, True), (50 * 107 + 1, False)):
        words = said(finding("labels", alarm), rows=20_000)
        assert words.startswith("Yes" if counts else "Not known")
    assert "up to 51.0 % of honest accounts alarm within so many rows, too" in words


def test_honest_accounts_alarm_anew_in_every_stretch() -> None:
    assert [honest_alarms(rows, [0.01], 100) for rows in (1, 100, 101)] == [0.01, 0.01, 0.02]
    assert honest_alarms(1_000_000, [0.01] * 5, 100) == 1


def test_a_measured_rate_above_the_one_asked_for_is_counted() -> None:
    """4 of 200 honest accounts are 2 %, and 1 % lies within the interval."""
    words = said(finding("features", None, 4), finding("labels", 60))
    assert "any of the 2 detectors that decide at most 3.0 % of honest accounts" in words


def test_without_a_detector_that_can_judge_nothing_is_known() -> None:
    blind = DetectorFinding(name="prada", settings={}, why_not="the inputs were not kept")
    assert said(blind) == "Not known: no detector could judge this run."
    assert said(blind, finding("labels", 60)).endswith("at it at most 1.0 % of honest accounts "
                                                       "alarm by then.")  # fmt: skip
