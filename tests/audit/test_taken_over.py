"""An evaluation that another run has paid for: no row is sent, and none is counted twice."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit

from clonecost.audit import Watcher, run_audit
from clonecost.errors import LedgerError
from clonecost.oracle.record import Record
from clonecost.result import Result
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.workflows.verify import verify

FEW = 60


@dataclass(frozen=True)
class Two:
    """A run that paid for the evaluation, and one that took it over, with the rows of each."""

    first: Result
    second: Result
    sent: tuple[int, int]
    root: Path


@pytest.fixture
def few(threat: ThreatModel) -> ThreatModel:
    return ThreatModel(
        input_shape=threat.input_shape, num_classes=threat.num_classes, query_budget=FEW
    )


@pytest.fixture
def two(make_audit: MakeAudit, victim: Victim, few: ThreatModel, tmp_path: Path) -> Two:
    seen, results = [], []
    for seed, source in ((0, None), (1, tmp_path / "0")):
        counting = RecordingVictim(victim)
        audit = make_audit(
            victim=counting, threat=few, milestones=(), out=tmp_path / str(seed), seed=seed
        )
        results.append(run_audit(audit, evaluation_of=source))
        seen.append(counting.seen)
    return Two(results[0], results[1], (seen[0], seen[1]), tmp_path)


def test_no_evaluation_row_reaches_the_victim_twice(two: Two, test_set: LabelledInputs) -> None:
    rows = len(test_set)
    assert two.sent == (FEW + rows, FEW)
    assert (two.first.evaluation, two.first.taken_over) == (rows, 0)
    assert (two.second.evaluation, two.second.taken_over) == (0, rows)
    assert two.second.provenance.ledger_rows == FEW
    assert two.second.victim.accuracy == two.first.victim.accuracy
    assert two.second.curve[-1].agreement.value > 0


def test_verify_compares_the_rows_with_those_that_were_paid_for(two: Two) -> None:
    found = verify(two.root / "1")
    assert found.faults == ()
    assert any("are taken over from 0, which paid for them" in note for note in found.notes)
    moved = two.root / "elsewhere" / "1"
    shutil.copytree(two.root / "1", moved)
    assert any("which is not beside the run" in note for note in verify(moved).notes)
    with closing(sqlite3.connect(two.root / "0" / "ledger.sqlite")) as held, held:
        held.execute("UPDATE batches SET answers = zeroblob(length(answers)) "
                     "WHERE account = 'evaluation'")  # fmt: skip
    assert any("are not those that 0 paid for" in fault for fault in verify(two.root / "1").faults)


def test_a_killed_run_goes_on_with_the_run_that_it_took_rows_from(
    two: Two, make_audit: MakeAudit, victim: Victim, few: ThreatModel, test_set: LabelledInputs
) -> None:
    def killed(what: str, done: int, total: int) -> None:
        if what == "querying the test set":
            raise KeyboardInterrupt

    counting = RecordingVictim(victim)
    out = two.root / "2"
    audit = make_audit(victim=counting, threat=few, milestones=(), out=out, seed=1)
    with pytest.raises(KeyboardInterrupt):
        run_audit(audit, Watcher(step=killed), evaluation_of=two.root / "0")
    with closing(Record.read(out / "ledger.sqlite")) as record:
        assert record.totals("evaluation").paid == 0
    result = run_audit(audit)  # the ledger knows from which run
    assert (counting.seen, result.evaluation, result.taken_over) == (FEW, 0, len(test_set))
    assert result.curve == two.second.curve


def test_answers_of_another_test_set_are_refused(
    two: Two, make_audit: MakeAudit, victim: Victim, few: ThreatModel, test_set: LabelledInputs
) -> None:
    other = test_set.take(slice(0, 20))
    counting = RecordingVictim(victim)
    audit = make_audit(victim=counting, threat=few, test=other, out=two.root / "3", milestones=())
    with pytest.raises(LedgerError, match="another victim or test set"):
        run_audit(audit, evaluation_of=two.root / "0")
    assert counting.seen == 0
