"""Whatever write fails, at whatever byte: no answer is lost, no row is asked or booked twice."""

import errno
import random
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.disk_faults import failing_calls, no_file_grows_beyond
from torch import Tensor

from clonecost.errors import LedgerError
from clonecost.oracle import Oracle
from clonecost.oracle.delivery import current
from clonecost.oracle.ledger import ACCOUNTS, Ledger
from clonecost.oracle.pending import PENDING, Outcome, PendingOutcome
from clonecost.persistence import disk
from clonecost.persistence.sqlite_file import open_to_write
from clonecost.types import ThreatModel

SHAPE, CLASSES, BATCHES, ROWS = (1, 4, 4), 3, 8, 5
THREAT = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=BATCHES * ROWS)
Fault = Callable[[], AbstractContextManager[object]]


class Counted:
    """A victim that counts its rows."""

    rows = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        self.rows += len(inputs)
        return inputs.flatten(1)[:, :CLASSES].softmax(1)


def batches() -> list[Tensor]:
    rng = torch.Generator().manual_seed(3)
    return [torch.rand(ROWS, *SHAPE, generator=rng) for _ in range(BATCHES)]


def opened(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)


def buy(folder: Path, victim: Counted) -> None:
    """All batches, as a run does, from the first that is not in the ledger on."""
    with closing(opened(folder)) as ledger:
        oracle = Oracle(victim, THREAT, ledger, keep=True)
        for inputs in batches():
            oracle(inputs)


def interrupted(folder: Path, fault: Fault) -> bool:
    """Buy under a fault, then without it; whether the fault struck. Checks the account."""
    victim, struck = Counted(), False
    with fault():
        said = ""
        try:
            buy(folder, victim)
        except LedgerError as error:
            said, struck = str(error), True
    assert not struck or "answers are kept" in said or "cannot be" in said
    buy(folder, victim)
    with closing(Ledger.read(folder / "ledger.sqlite")) as ledger:
        assert ledger.verify() == []
        totals = ledger.totals("attack")
        assert (totals.settled, totals.lost, totals.reserved) == (BATCHES * ROWS, 0, 0)
        inputs, answers = ledger.bought()
    assert victim.rows == BATCHES * ROWS
    assert torch.equal(inputs, torch.cat(batches()))
    assert torch.equal(answers, Counted()(inputs))
    return struck


def test_a_disk_that_is_full_at_any_byte(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    assert not interrupted(tmp_path / "whole", lambda: no_file_grows_beyond(10**9))
    dice = random.Random(0)
    struck = 0
    for case in range(60):
        folder = tmp_path / str(case)
        folder.mkdir()
        limit = dice.choice([dice.randrange(4_096, 65_000), dice.randrange(65_536, 200_000)])
        struck += interrupted(folder, partial(no_file_grows_beyond, limit))
    assert struck > 30


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_any_system_call_that_fails_once(tmp_path: Path, code: int) -> None:
    for first in range(1, 200):
        folder = tmp_path / str(first)
        folder.mkdir()
        if not interrupted(folder, partial(failing_calls, first, code)):
            break
    assert 10 < first < 199


def test_rows_that_are_sent_again_are_booked_once_or_not_at_all(tmp_path: Path) -> None:
    """A failure between the charge of a row and its loss would book it twice."""

    class Retrying(Counted):
        def __call__(self, inputs: Tensor) -> Tensor:
            delivery = current()
            delivery.track()
            delivery.sent(len(inputs))
            super().__call__(inputs)
            delivery.lost(inputs, "time-out")
            delivery.sent(len(inputs))
            return super().__call__(inputs)

    dice, struck = random.Random(1), 0
    for case in range(40):
        folder = tmp_path / str(case)
        folder.mkdir()
        victim = Retrying()
        with no_file_grows_beyond(dice.randrange(66_000, 250_000)):
            try:
                buy(folder, victim)
            except LedgerError:
                struck += 1
        with closing(opened(folder)) as ledger:
            totals = ledger.totals("attack")
            assert totals.settled + totals.lost + totals.reserved == victim.rows
            assert ledger.verify() == []
    assert struck > 5


def test_another_program_that_holds_the_ledger_is_waited_for_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "BUSY_SECONDS", 0.05)

    class Viewed(Counted):
        """A database viewer begins to write while the third batch is answered."""

        def __call__(self, inputs: Tensor) -> Tensor:
            answers = super().__call__(inputs)
            if self.rows == 3 * ROWS:
                self.viewer = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
                self.viewer.execute("BEGIN IMMEDIATE")
            return answers

    victim = Viewed()
    with pytest.raises(LedgerError, match="in use by another program") as refused:
        buy(tmp_path, victim)
    assert "answers are kept" in str(refused.value)
    with pytest.raises(LedgerError, match="in use by another program"):
        buy(tmp_path, victim)  # it still holds the ledger
    victim.viewer.close()
    buy(tmp_path, victim)
    assert victim.rows == BATCHES * ROWS
    with closing(Ledger.read(tmp_path / "ledger.sqlite")) as ledger:
        assert sum(ledger.totals(account).lost for account in ACCOUNTS) == 0


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_pending_outcome_is_none(tmp_path: Path, data: st.DataObject) -> None:
    pending = PendingOutcome(tmp_path / PENDING)
    pending.claim(1_000)
    kept = Outcome(3, "settled", "ab", ("float32", None, None), b"answers" * 100)
    pending.keep(kept)
    assert pending.read() == kept
    content = bytearray(pending.path.read_bytes())
    used = 56 + 60 + 700
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, used - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[: data.draw(st.integers(0, used - 40))]
    pending.path.write_bytes(content)
    assert pending.read() in (None, kept)
    pending.path.unlink()


def test_an_outcome_of_another_record_is_not_taken(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        ledger.reserve(account="attack", position=0, digests=bytes(32))
        PendingOutcome(tmp_path / PENDING).keep(
            Outcome(1, "settled", "00" * 32, ("float32", None, None), bytes(24))
        )
    with closing(opened(tmp_path)) as ledger:
        assert ledger.totals("attack").lost == 2
    with suppress(FileNotFoundError):
        assert PendingOutcome(tmp_path / PENDING).read() is None


@settings(max_examples=30)
@given(reason=st.text(alphabet=st.characters(), max_size=3_000))
def test_any_words_of_a_victim_can_be_recorded(tmp_path: Path, reason: str) -> None:
    (tmp_path / "ledger.sqlite").unlink(missing_ok=True)
    with closing(opened(tmp_path)) as ledger:
        batch = ledger.reserve(account="attack", position=0, digests=bytes(16))
        ledger.lose(batch, f"{reason}\ud800")
        words = f"\udfff{reason}"
        ledger.charge_lost(account="attack", position=0, digests=bytes(16), reason=words)
    with closing(opened(tmp_path)) as ledger:
        assert ledger.totals("attack").lost == 2
        assert ledger.verify() == []


class Unreadable:
    """A connection that answers nothing while it is broken."""

    def __init__(self, held: sqlite3.Connection) -> None:
        self.held, self.broken = held, False

    def __getattr__(self, name: str) -> object:
        if self.broken and name == "execute":
            raise sqlite3.OperationalError("disk I/O error")
        return getattr(self.held, name)


def test_answers_outlast_a_database_that_cannot_even_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Unreadable(open_to_write(tmp_path / "ledger.sqlite"))
    monkeypatch.setattr("clonecost.oracle.ledger.open_to_write", lambda path: database)
    ledger = opened(tmp_path)
    batch = ledger.reserve(account="attack", position=0, digests=bytes(32))
    database.broken = True
    with pytest.raises(LedgerError):
        ledger.settle(batch, torch.tensor([[0.2, 0.3, 0.5]] * 2))
    database.broken = False
    ledger.close()
    monkeypatch.undo()
    with closing(opened(tmp_path)) as ledger:
        assert ledger.totals("attack").settled == 2
        assert ledger.totals("attack").lost == 0
