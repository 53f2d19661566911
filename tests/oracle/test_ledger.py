import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tests.support.disk_faults import no_file_grows_beyond

from clonecost.errors import LedgerError, RunWorkflow, SetKey
from clonecost.oracle import record
from clonecost.oracle.hash_chain import DIGEST_BYTES, GENESIS, Value, canonical
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.paid_rows import PaidRows
from clonecost.oracle.record import Record
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.persistence.sqlite_file import open_to_read

SHAPE, CLASSES = (1, 2, 2), 3


def open_ledger(path: Path, audit: str = "one") -> Ledger:
    return Ledger(path / "ledger.sqlite", audit=audit, input_shape=SHAPE, num_classes=CLASSES)


def answers(count: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, CLASSES, generator=rng).softmax(1)


def buy(ledger: Ledger, position: int, inputs: torch.Tensor, **how: object) -> torch.Tensor:
    found = answers(len(inputs), position)
    kept = pack(inputs, how.pop("index", None)) if how.pop("keep", False) else None  # type: ignore[arg-type]
    batch = ledger.reserve(
        account="attack", position=position, digests=row_digests(inputs), kept=kept
    )
    ledger.settle(batch, found)
    return found


def test_recorded_rows_are_returned_exactly_in_any_cut(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    inputs = torch.rand(10, *SHAPE)
    one, two = buy(ledger, 0, inputs[:6]), buy(ledger, 6, inputs[6:])
    every = torch.cat([one, two])
    for start, count in [(0, 10), (3, 5), (6, 4), (9, 1), (2, 100)]:
        recorded = ledger.recorded("attack", start, count)
        assert recorded is not None
        stop = min(10, start + count)
        assert torch.equal(recorded.answers, every[start:stop])
        assert recorded.digests == row_digests(inputs[start:stop])
    assert ledger.recorded("attack", 10, 5) is None
    assert ledger.recorded("evaluation", 0, 5) is None


def test_the_last_rows_are_found_without_reading_all_earlier_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []

    def open_and_keep(path: Path, lock: Path) -> sqlite3.Connection:
        opened.append(open_to_read(path, lock))
        return opened[-1]

    monkeypatch.setattr(record, "open_to_read", open_and_keep)
    with closing(open_ledger(tmp_path)) as ledger:
        for position in range(40):
            buy(ledger, position, torch.rand(1, *SHAPE))
    with closing(PaidRows.read(tmp_path / "ledger.sqlite")) as rows:
        assert rows.recorded("attack", 0, 1)
        steps = [0, 0]
        for which, position in enumerate((1, 39)):

            def one_more(which: int = which) -> None:
                steps[which] += 1

            opened[0].set_progress_handler(one_more, 1)
            assert rows.recorded("attack", position, 1)
    assert 0 < steps[1] < 2 * steps[0]


def test_a_reservation_left_by_a_crash_becomes_lost(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, 0, torch.rand(4, *SHAPE))
    ledger.reserve(account="attack", position=4, digests=bytes(3 * DIGEST_BYTES))
    ledger.close()
    again = open_ledger(tmp_path)
    totals = again.totals("attack")
    assert (totals.settled, totals.lost, totals.reserved) == (4, 3, 0)
    assert again.verify() == []
    assert again.recorded("attack", 4, 3) is None  # the rows are queried and paid again


def test_a_second_process_is_refused_and_reading_is_not(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, 0, torch.rand(4, *SHAPE))
    with pytest.raises(LedgerError, match="in use by another process"):
        open_ledger(tmp_path)
    reread = Ledger.read(tmp_path / "ledger.sqlite")
    assert (reread.totals("attack").settled, reread.lost) == (4, 0)
    ledger.close()
    open_ledger(tmp_path).close()


def test_another_audit_is_refused(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    with pytest.raises(LedgerError, match="record of another audit"):
        open_ledger(tmp_path, audit="two")
    open_ledger(tmp_path).close()  # and the refused opening left no lock


TAMPERINGS = [
    "UPDATE batches SET answers = zeroblob(length(answers)) WHERE id = 2",
    "UPDATE batches SET digests = zeroblob(length(digests)) WHERE id = 2",
    "UPDATE batches SET count = 3 WHERE id = 2",
    "UPDATE batches SET position = 400 WHERE id = 2",
    "UPDATE batches SET state = 'lost' WHERE id = 2",
    "UPDATE batches SET unsent = 1 WHERE state = 'lost'",
    "DELETE FROM batches WHERE id = 2",
    "DELETE FROM chain WHERE batch = 2",
    "DELETE FROM chain WHERE batch = 2; DELETE FROM batches WHERE id = 2",
    "INSERT INTO batches (account, position, count, digests, at, state) "
    "VALUES ('attack', 12, 1, zeroblob(16), '', 'settled')",
    "UPDATE chain SET event = 'settled' WHERE seq = 3",
    "UPDATE batches SET at = '2001-01-01 00:00:00' WHERE id = 2",
    "UPDATE batches SET reason = 'time-out' WHERE id = 2",
    "UPDATE batches SET encoding = 'float32' WHERE state = 'lost'",
    "UPDATE batches SET reason = CAST(reason AS BLOB) WHERE state = 'lost'",
    "UPDATE chain SET content = replace(content, '\"one\"', '\"two\"') WHERE event = 'opened'",
    "UPDATE chain SET content = replace(content, '2', '3') WHERE event = 'noted'",
    "CREATE TABLE other (x)",
    "CREATE TRIGGER later AFTER INSERT ON batches BEGIN DELETE FROM chain; END",
    "DROP INDEX by_position",
]


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_verify_finds(tampering: str, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.note(threads=2)
    for k in range(3):
        buy(ledger, 4 * k, torch.rand(4, *SHAPE))
    ledger.lose(ledger.reserve(account="attack", position=12, digests=bytes(48)), "time-out")
    assert ledger.verify() == []
    ledger.close()
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.executescript(tampering)
    db.close()
    with closing(Ledger.read(tmp_path / "ledger.sqlite")) as altered:
        assert altered.verify() != []


def test_facts_and_files_are_events_of_the_chain(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.note(threads=2, keep="all")
    buy(ledger, 0, torch.rand(4, *SHAPE))
    ledger.note(threads=3)
    rows = ledger.head
    ledger.record_files({"result.json": "sha256:00"})
    ledger.close()
    with closing(Record.read(tmp_path / "ledger.sqlite")) as read:
        assert (read.fact("threads"), read.fact("keep"), read.fact("seconds")) == ("3", "all", None)
        assert (read.files, read.finished) == ({"result.json": "sha256:00"}, True)
        assert read.head_of_rows == rows != read.head
        assert read.verify() == []
    again = open_ledger(tmp_path)
    before = again.head
    again.note(resumed=1)
    buy(again, 4, torch.rand(3, *SHAPE))
    assert (again.finished, again.files) == (False, {"result.json": "sha256:00"})
    assert (again.rows_since(before), again.rows_since(again.head)) == (3, 0)
    assert again.rows_since(GENESIS.hex()) == 7
    assert again.rows_since("0f" * 32) is None


def test_no_two_sequences_of_values_are_the_same_bytes() -> None:
    values: list[Value] = [None, 1, 1.0, "1", b"1", "", b"", "None", "int 1 1"]
    sequences = [[a] for a in values] + [[a, b] for a in values for b in values]
    assert len({canonical(values) for values in sequences}) == len(sequences)


def test_kept_inputs_are_stored_in_their_smallest_exact_form(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    pool = torch.randint(256, (20, *SHAPE), dtype=torch.uint8)
    index = torch.tensor([3, 17, 3, 0])
    from_pool, eight_bit, exact = pool[index] / 255, pool[:4] / 255, torch.rand(4, *SHAPE)
    sizes = [0]
    bought = []
    for k, (inputs, i) in enumerate([(from_pool, index), (eight_bit, None), (exact, None)]):
        bought.append(buy(ledger, 4 * k, inputs, keep=True, index=i))
        sizes.append((tmp_path / "inputs.bin").stat().st_size)
    assert [b - a for a, b in itertools.pairwise(sizes)] == [16, 16, 64]
    inputs, found = ledger.bought(pool)
    assert torch.equal(inputs, torch.cat([from_pool, eight_bit, exact]))
    assert torch.equal(found, torch.cat(bought))
    with pytest.raises(LedgerError, match="proxy data set"):
        ledger.bought(None)
    with pytest.raises(LedgerError, match="not those that were sent"):
        ledger.bought(255 - pool)


def test_rows_that_were_not_kept_cannot_be_replayed_to_another_student(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, 0, torch.rand(4, *SHAPE))
    with pytest.raises(
        LedgerError, match="4 of the rows that were bought were not kept"
    ) as refused:
        ledger.bought()
    assert refused.value.remedies == (RunWorkflow("audit", change=SetKey("keep", "all")),)


@pytest.mark.parametrize(
    "content", [b"no database at all " * 100, b"SQLite format 3\0" + bytes(99)]
)
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        open_ledger(tmp_path)


def test_a_ledger_cut_in_half_is_detected(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for k in range(200):
        buy(ledger, 40 * k, torch.rand(40, *SHAPE))
    ledger.close()
    path = tmp_path / "ledger.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.read(path)


def test_another_sqlite_file_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(LedgerError, match="not a clonecost/ledger/3"):
        open_ledger(tmp_path)


def test_a_full_disk_is_reported_and_answers_are_kept(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, 0, torch.rand(4, *SHAPE))
    with no_file_grows_beyond(200_000), pytest.raises(LedgerError, match="disk is full"):
        for k in range(1, 1_000):
            buy(ledger, 4 * k, torch.rand(4, *SHAPE))
    ledger.close()
    again = open_ledger(tmp_path)
    assert again.totals("attack").settled >= 4
    assert again.verify() == []


def test_digests_do_not_depend_on_how_a_row_is_stored(tmp_path: Path) -> None:
    pixels = torch.randint(256, (5, *SHAPE), dtype=torch.uint8)
    assert row_digests(pixels) == row_digests(pixels / 255)
    assert len({row_digests(pixels)[k * 16 : k * 16 + 16] for k in range(5)}) == 5


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
def test_an_interrupt_around_a_commit_leaves_the_chain_whole(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is recorded afterwards is linked to the event that is last in the file."""
    armed = list[str]()

    class Interrupted(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            done = super().execute(sql, *values)  # type: ignore[arg-type]
            if sql in armed:
                armed.clear()
                raise KeyboardInterrupt
            return done

    connect = sqlite3.connect
    monkeypatch.setattr(
        "sqlite3.connect", lambda *given, **how: connect(*given, **how, factory=Interrupted)
    )
    with closing(open_ledger(tmp_path)) as ledger:
        batch = ledger.reserve(account="attack", position=0, digests=bytes(2 * DIGEST_BYTES))
        assert ledger.lost == 0
        armed.append(statement)
        with pytest.raises(KeyboardInterrupt):
            ledger.charge_lost(
                account="attack", position=0, digests=bytes(DIGEST_BYTES), reason="late"
            )
        ledger.lose(batch, "interrupted")
        assert ledger.verify() == []
        assert ledger.lost == ledger.totals("attack").lost == (3 if statement == "COMMIT" else 2)
