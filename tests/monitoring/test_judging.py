"""One detector on an attack: alarm, clone by then, short accounts, and the split that hides it."""

import numpy as np
import pytest
from tests.support.digit_streams import honest, in_distribution, jbda, uniform_noise
from tests.support.synthetic_runs import result

from clonecost.detectors import DETECTORS
from clonecost.detectors.base import Stream
from clonecost.monitoring.benign import BenignTraffic, accounts_of
from clonecost.monitoring.calibration import calibrate
from clonecost.monitoring.judging import SPLITS, judge, last_score, split_numbers, unseen_split
from clonecost.result.detection import DetectorFinding

CURVE = result([(100, 0.4), (400, 0.6), (800, 0.8)]).curve


@pytest.fixture(scope="module")
def traffic() -> BenignTraffic:
    return accounts_of(honest(), accounts=198, rate=0.01, source="digits",
                       users=("shuffled", "skewed"), account_rows=120)  # fmt: skip


def found(name: str, attack: Stream, traffic: BenignTraffic) -> DetectorFinding:
    return judge(name, DETECTORS[name](), attack, traffic, rate=0.01, curve=CURVE)


def test_an_attack_that_is_noticed(traffic: BenignTraffic) -> None:
    one = found("confidence", uniform_noise(800), traffic)
    assert one.first_alarm == 20
    assert (one.milestone, one.agreement) == (None, None)  # before the first milestone
    assert one.auroc is not None
    assert one.auroc > 0.95
    by_rows = {short.rows: short for short in one.short_accounts}
    assert by_rows[100].accounts == 8
    assert by_rows[100].found is not None
    assert by_rows[100].found.value == 1
    assert by_rows[500].found is None
    assert by_rows[500].why == "the benign accounts have 120 rows"
    assert by_rows[5_000].accounts == 0
    assert one.false_alarms is not None
    assert one.watched == 800


def test_an_attack_that_is_not_noticed(traffic: BenignTraffic) -> None:
    one = found("labels", in_distribution(600), traffic)
    assert one.first_alarm is None
    assert one.milestone == 800
    assert one.agreement == CURVE[-1].agreement  # the final clone's
    assert one.accounts_needed == 1
    assert [split.accounts for split in one.unseen] == [1, 1]


def test_splitting_hides_near_duplicates(traffic: BenignTraffic) -> None:
    one = found("duplicates", jbda(800), traffic)
    assert one.first_alarm is not None
    by_split = {split.split: split for split in one.unseen}
    hidden = by_split["round robin"]
    assert hidden.accounts is not None
    assert hidden.accounts > 5
    assert hidden.rows == 800 // hidden.accounts
    assert by_split["contiguous"].accounts is None  # neighbours in time are neighbours in space


def test_an_attack_without_an_alarm_needs_no_second_account(traffic: BenignTraffic) -> None:
    """However its parts would look: a search by halving alone would miss the one account."""
    watched = calibrate(DETECTORS["confidence"](), traffic, 0.01)
    for split in SPLITS:
        found = unseen_split(watched, uniform_noise(800), split, alarmed=False)
        assert (found.accounts, found.rows) == (1, 800)
        seen = unseen_split(watched, uniform_noise(800), split, alarmed=True)
        assert seen.accounts != 1


def test_a_detector_that_cannot_judge_says_why(traffic: BenignTraffic) -> None:
    labels = honest(300)
    labels = Stream(digests=labels.digests, top=labels.top, classes=10)
    assert found("confidence", labels, traffic).why_not == (
        "the answers are labels without confidence"
    )
    assert found("prada", jbda(300), accounts_of(
        honest(), accounts=198, rate=0.01, source="x", users=("shuffled",), account_rows=100
    )).why_not == "it gives no verdict on accounts of 100 rows or fewer"  # fmt: skip


def test_the_last_milestone_at_or_before_the_alarm() -> None:
    assert last_score(CURVE, 99) is None
    assert [getattr(last_score(CURVE, alarm), "queries", None) for alarm in (100, 399, 400)] == [
        100, 100, 400,
    ]  # fmt: skip
    assert last_score(CURVE, None) == CURVE[-1]


def test_splits_are_tried_as_long_as_accounts_have_a_look() -> None:
    tried = split_numbers(1_000)
    assert tried[:4] == [1, 2, 3, 4]
    assert (np.diff(tried) > 0).all()
    assert 1_000 // tried[-1] >= 20
    assert split_numbers(5) == []
