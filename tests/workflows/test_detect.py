"""`clonecost detect`: a run's recorded rows are watched, and nothing is sent."""

import json
import shutil
from pathlib import Path

import pytest
from tests.support.cli_runs import asked, run
from tests.support.run_folders import fresh_copy, made_here, sql

from clonecost.errors import RunError, SpecError
from clonecost.result import read_detection, read_result
from clonecost.workflows.detect import detect
from clonecost.workflows.verify import verify

FEW = ["--accounts", "198", "--account-rows", "50", "--users", "shuffled", "--users", "skewed"]
WATCHED = ["audit", "own:probs", "--test", "labelled.npz", "--proxy", "test.npz", "--student",
           "lenet", "--attack", "knockoff", "--set", "knockoff.epochs=1", "--budget", "200",
           "--milestones", "40,100", "--spot-check", "0"]  # fmt: skip


@pytest.fixture(scope="module")
def watched(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 200 queries on 400 test rows, with its inputs."""
    out = tmp_path_factory.mktemp("watched") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench)
        said = run(*WATCHED, "--keep", "all", "--out", out)
        assert said.status == 0, said.err
    return out


@pytest.fixture
def mine(watched: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    return made_here(fresh_copy(watched, tmp_path / "run"))


def test_a_run_is_watched_without_a_query(mine: Path, tmp_path: Path) -> None:
    said = run("detect", mine, *FEW)
    assert said.status == 0, said.err
    assert asked(tmp_path / "asked") == []
    found = read_detection(mine)
    assert found is not None
    assert said.out.startswith(found.verdict)
    assert found.queries == 200
    assert found.benign.kinds == {"shuffled": 99, "skewed": 99}
    by_name = {one.name: one for one in found.detectors}
    assert {*by_name} == {"confidence", "duplicates", "features", "labels", "prada"}
    assert by_name["prada"].why_not == "it gives no verdict on accounts of 50 rows or fewer"
    assert "prada cannot judge this run" in said.out
    judged = [one for one in found.detectors if not one.why_not]
    assert all(one.watched == 200 and one.false_alarms for one in judged)
    assert found.noticed == any(one.alarm for one in found.detectors)
    queries = [score.queries for score in read_result(mine).curve]
    assert all(one.milestone in (None, *queries) for one in judged)
    assert {cap.band for cap in found.caps} == {0.75, 0.9}
    assert "seconds" in json.loads((mine / "detection.json").read_text())


def test_the_document_is_covered_by_verify_and_dropped_by_a_larger_budget(mine: Path) -> None:
    assert run("detect", mine, *FEW, "--detector", "labels").status == 0
    assert verify(mine) == verify(mine)
    assert verify(mine).faults == ()
    document = mine / "detection.json"
    document.write_text(document.read_text().replace('"noticed"', '"noticed "'))
    assert verify(mine).faults == ("detection.json was altered after it was recorded",)
    assert run("resume", mine, "--budget", "220").status == 0
    assert not document.exists()  # it was about the clone of a smaller budget
    assert verify(mine).faults == ()


def test_the_same_seed_finds_the_same(mine: Path) -> None:
    settings = {"detectors": ["confidence"], "accounts": 198, "account_rows": 50, "seed": 4}
    first, again = (detect(mine, **settings).detectors for _ in range(2))  # type: ignore[arg-type]
    assert first == again


def test_paid_rows_of_another_run_can_be_the_honest_ones(mine: Path, tmp_path: Path) -> None:
    words = ["detect", mine, "--benign", mine, "--detector", "labels", "--accounts", "198"]
    said = run(*words, "--account-rows", "50")
    assert said.status == 2
    assert "The detectors need at least 250 honest rows" in said.err
    assert "run has 200" in said.err
    assert run(*words).status == 0  # in accounts of 40 rows
    missing = run("detect", mine, "--benign", tmp_path / "nowhere", "--detector", "labels")
    assert missing.status == 2
    assert "nowhere" in missing.err


def test_rows_of_a_data_set_are_sent_and_counted_apart(mine: Path, tmp_path: Path) -> None:
    words = ["detect", mine, "--benign", "proxy.npz", "--benign-rows", "300", *FEW]
    said = run(*words, "--detector", "labels")
    assert said.status == 0, said.err
    assert len(asked(tmp_path / "asked")) == 300
    found = read_detection(mine)
    assert found is not None
    assert (found.benign.queries, found.benign.rows) == (300, 300)
    assert "300 rows were sent for that, counted apart" in said.out
    again = run(*words, "--detector", "confidence")  # answered from its ledger
    assert again.status == 0, again.err
    assert len(asked(tmp_path / "asked")) == 300
    verified = verify(mine)
    assert verified.faults == ()
    assert verified.notes == ("not covered by the ledger: report.html",)
    assert read_result(mine).spent == 200  # the price of the clone is what it was
    assert run("export", mine, tmp_path / "copy").status == 0
    assert len(list((tmp_path / "copy").glob("benign/*/ledger.sqlite"))) == 1
    next(mine.glob("benign/*/ledger.sqlite")).unlink()
    assert verify(mine).faults


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--benign", "nowhere"], "unknown data set 'nowhere'"),
        (["--benign-rows", "0"], "The number of honest rows is out of range: got 0, want at least"),
        (["--rate", "0"], "The false-alarm rate is out of range: got 0, want above 0 and below 1"),
        (["--rate", "0.001"], "400 benign accounts cannot show a false-alarm rate of 0.001"),
        (["--detector", "pradda"], "unknown detector 'pradda'; did you mean 'prada'?"),
        (["--users", "robots"], "unknown kind of user 'robots'"),
        (["--account-rows", "500"], "2,500 honest rows to know how often accounts of 500"),
        (["--days", "0"], "The days of an account are out of range: got 0, want at least 1"),
    ],
)
def test_bad_input_is_one_sentence(mine: Path, words: list[str], sentence: str) -> None:
    before = (mine / "ledger.sqlite").read_bytes()
    said = run("detect", mine, *words)
    assert said.status == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (mine / "detection.json").exists()
    assert (mine / "ledger.sqlite").read_bytes() == before


def test_an_unfinished_run_goes_on_first(mine: Path) -> None:
    (mine / "result.json").unlink()
    with pytest.raises(RunError, match="did not finish"):
        detect(mine)


def test_another_test_set_is_noticed(mine: Path, tmp_path: Path) -> None:
    spec = (mine / "spec.toml").read_text()
    shutil.copy("labelled.npz", tmp_path / "labelled.npz")
    (mine / "spec.toml").write_text(spec.replace("labelled.npz", "test.npz"))
    said = run("detect", mine, "--detector", "duplicates")
    assert said.status == 2
    assert "has other rows than the test set of" in said.err


def test_an_altered_ledger_is_refused(mine: Path) -> None:
    sql(mine, "UPDATE batches SET answers = x'00' WHERE account = 'attack'")
    said = run("detect", mine, "--detector", "labels")
    assert said.status == 2
    assert "was altered" in said.err


def test_an_unknown_detector_is_told_before_the_run_is_read() -> None:
    with pytest.raises(SpecError):
        detect(Path("nowhere"), detectors=["none"])
