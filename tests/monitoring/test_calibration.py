"""The false-alarm rate over a whole stream is the stated one, on accounts that did not set it."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom
from tests.support.digit_streams import ATTACKS, honest, uniform_noise

from clonecost.detectors import DETECTORS
from clonecost.monitoring.benign import BenignTraffic, accounts_of
from clonecost.monitoring.calibration import Calibrated, auroc, calibrate, conformal, share

CHEAP = ["confidence", "duplicates", "features", "labels"]


@cache
def traffic(*users: str) -> BenignTraffic:
    return accounts_of(honest(), accounts=400, rate=0.01, source="digits", users=users,
                       account_rows=160)  # fmt: skip


@cache
def ready(name: str, *users: str) -> Calibrated:
    return calibrate(DETECTORS[name](), traffic(*users), 0.01)


@pytest.mark.parametrize("name", CHEAP)
def test_false_alarms_over_the_stream_are_within_their_interval(name: str) -> None:
    """Of 200 accounts at 1 %, at most 6: the 99 % point of the binomial."""
    assert binom.ppf(0.99, 200, 0.01) <= 6
    found = ready(name)
    alarms = int((found.largest_of_checking() > found.threshold()).sum())
    assert alarms <= 6
    assert found.false_alarms().value == alarms / 200


def test_false_alarms_of_all_detectors_together_are_near_the_rate() -> None:
    assert np.mean([ready(name).false_alarms().value for name in CHEAP]) <= 0.02


def test_a_threshold_for_one_look_alarms_more_often() -> None:
    found = ready("confidence", "shuffled")
    for_one_look = conformal(found.calibrating[:, -1], 0.01)
    assert (found.largest_of_checking() > for_one_look).mean() > 0.02


def test_conformal_threshold_of_known_statistics() -> None:
    assert conformal(np.arange(1.0, 200.0), 0.01) == 198.0
    assert conformal(np.arange(1.0, 100.0), 0.01) == 99.0
    with pytest.raises(ValueError, match="98 accounts cannot"):
        conformal(np.arange(98.0), 0.01)


def test_conformal_thresholds_hold_on_average() -> None:
    rng = np.random.default_rng(0)
    rates = [(rng.random(500) > conformal(rng.random(150), 0.02)).mean() for _ in range(300)]
    assert np.mean(rates) == pytest.approx(3 / 151, abs=0.002)


def test_the_costliest_users_are_named() -> None:
    costly = ready("confidence").without_costliest_users()
    assert costly is not None
    kind, limit = costly
    assert kind == "video"
    assert limit < ready("confidence").threshold()
    assert ready("confidence", "shuffled").without_costliest_users() is None


def test_noise_is_told_from_users_and_rows_of_their_kind_are_not() -> None:
    found = ready("confidence", "shuffled", "skewed")
    assert found.watch(uniform_noise(160)).max() > found.threshold()
    alike = ATTACKS["in_distribution"](480)
    parts = [alike.take(slice(at, at + 160)) for at in (0, 160, 320)]
    assert not any((found.watch(part) > found.threshold()).any() for part in parts)


def test_auroc_and_share() -> None:
    assert auroc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1.0
    assert auroc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
    assert auroc(np.array([-np.inf, 5.0]), np.array([-np.inf, 1.0])) == 0.625
    none = share(np.zeros(100, bool))
    assert none.value == 0
    assert 0.03 < none.high < 0.04
