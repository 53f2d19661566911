"""Principals of a log by suspicion: the one who sends noise comes first."""

from pathlib import Path

import pytest
from tests.support.api_logs import EACH, HONEST, attacked, honest_lines, lines, write
from tests.support.digit_streams import uniform_noise

from clonecost.detectors import DETECTORS
from clonecost.detectors.base import Detector
from clonecost.errors import DataError
from clonecost.monitoring.log_file import Log, read_log
from clonecost.monitoring.ranking import rank


def every() -> dict[str, Detector]:
    return {name: DETECTORS[name]() for name in DETECTORS}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return read_log(attacked(tmp_path_factory.mktemp("logs") / "log.jsonl"))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Log:
    path = tmp_path_factory.mktemp("honest") / "honest.jsonl"
    return read_log(write(path, honest_lines(60, seed=9)))


def test_the_attacker_is_first_without_honest_traffic(log: Log) -> None:
    found = rank(log, every(), rate=0.01)
    assert found.principals[0].name == "mallory"
    assert found.principals[0].by == "confidence"
    assert (found.principals[0].suspicion or 0) > 5
    assert all(one.alarms == [] for one in found.principals)  # no rate, no alarm
    assert found.rate is None
    assert {*found.not_used} == {"features", "prada"}
    assert found.principals[0].rows == 150
    assert found.usage.median == EACH
    assert found.usage.most_99 == 150


def test_alarms_have_the_rate_of_honest_traffic(log: Log, honest: Log) -> None:
    found = rank(log, every(), rate=0.05, benign=honest)
    assert found.rate == 0.05
    assert found.principals[0].name == "mallory"
    assert "confidence" in found.principals[0].alarms
    alarmed = [one.name for one in found.principals if "confidence" in one.alarms]
    assert len(alarmed) <= 3  # of 12 honest ones


def test_as_many_honest_principals_as_it_takes_give_alarms(tmp_path: Path, log: Log) -> None:
    """A rate of 3 % takes 33 for the threshold and 5 to learn from."""
    least = read_log(write(tmp_path / "honest", honest_lines(38, seed=9)))
    found = rank(log, {"confidence": DETECTORS["confidence"]()}, rate=0.03, benign=least)
    assert found.principals[0].name == "mallory"
    assert found.principals[0].alarms == ["confidence"]


def test_classes_are_matched_by_name(tmp_path: Path, honest: Log) -> None:
    renamed = [{**line, "top1": f"digit {line['top1']}"} for line in honest_lines(seed=3)]
    log = read_log(write(tmp_path / "log.jsonl", renamed))
    found = rank(log, {"labels": DETECTORS["labels"]()}, rate=0.05, benign=honest)
    assert all(one.alarms == ["labels"] for one in found.principals)  # classes honest logs lack


def test_too_few_principals_say_how_many_it_takes(tmp_path: Path, log: Log) -> None:
    few = read_log(write(tmp_path / "few.jsonl", honest_lines(3)))
    with pytest.raises(DataError, match=r"has 3 principals with 50 rows or more, and it takes 5"):
        rank(few, every(), rate=0.01)
    with pytest.raises(DataError, match=r"has 3 principals .* it takes 104"):
        rank(log, every(), rate=0.01, benign=few)


def test_logs_with_and_without_confidence_are_not_compared(tmp_path: Path, honest: Log) -> None:
    bare = [{k: v for k, v in line.items() if k != "confidence"} for line in honest_lines()]
    with pytest.raises(DataError, match="Only one of"):
        rank(read_log(write(tmp_path / "bare", bare)), every(), rate=0.05, benign=honest)


def test_a_light_principal_has_no_verdict(tmp_path: Path) -> None:
    found = rank(read_log(write(tmp_path / "log", honest_lines() + lines(uniform_noise(5), "new"))),
                 every(), rate=0.01)  # fmt: skip
    by_name = {one.name: one for one in found.principals}
    assert by_name["new"].suspicion is None
    assert len(by_name) == HONEST + 1
