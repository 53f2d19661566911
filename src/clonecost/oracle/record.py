"""The file of a ledger, open for reading: its content, and whether the content was altered.

The table `batches` holds the rows that were sent, the table `chain` the events, in order:

    opened     the audit, the format, the victim's interface                  content: JSON
    noted      facts of the run: threads, horizon, milestones, seconds ...    content: JSON
    reserved   a batch was charged                                            its columns
    settled    the answers arrived                                            its columns
    lost       no usable answer arrived                                       its columns
    files      the files of the run folder with their digests                 content: JSON

Each event is linked to the one before (`hash_chain`), so the last link, the head, identifies all of
them. Nothing is kept outside the chain. Nothing here needs torch: a run is verified without it.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from filelock import BaseFileLock

from clonecost.errors import Advice, LedgerError, SetKey
from clonecost.oracle.hash_chain import GENESIS, Value, next_link
from clonecost.oracle.input_store import KeptInputs
from clonecost.persistence.disk import disk_faults

FORMAT = "clonecost/ledger/1"
INPUTS = "inputs.bin"
Account = Literal["attack", "evaluation", "spot"]
ACCOUNTS: tuple[Account, ...] = get_args(Account)

BATCHES = """CREATE TABLE batches (
    id       INTEGER PRIMARY KEY,
    account  TEXT    NOT NULL,
    position INTEGER NOT NULL,                    -- of the first row, within the account
    count    INTEGER NOT NULL CHECK (count > 0),  -- rows
    digests  BLOB    NOT NULL,                    -- 16 bytes a row
    at       TEXT    NOT NULL,                    -- UTC time of the reservation
    state    TEXT    NOT NULL CHECK (state IN ('reserved', 'settled', 'lost')),
    reason   TEXT,                                -- why it was lost
    unsent   INTEGER NOT NULL DEFAULT 0,          -- of a lost batch: rows that never arrived
    encoding TEXT,                                -- of the answers: 'float32', 'float64', 'label'
    answers  BLOB,
    form     TEXT,                                -- of kept inputs: 'index', 'uint8' or 'float32'
    offset   INTEGER                              -- of kept inputs, in inputs.bin
)"""
BY_POSITION = "CREATE INDEX by_position ON batches (account, position)"
CHAIN = """CREATE TABLE chain (
    seq     INTEGER PRIMARY KEY,
    event   TEXT NOT NULL,
    batch   INTEGER REFERENCES batches (id),
    content TEXT,
    digest  BLOB NOT NULL
)"""
SCHEMA = [  # as SQLite lists the tables, by name
    ("table", "batches", "batches", BATCHES),
    ("index", "by_position", "batches", BY_POSITION),
    ("table", "chain", "chain", CHAIN),
]
EVENT_COLUMNS = {  # the columns of a batch that an event writes
    "reserved": "account, position, count, digests, at",
    "settled": "encoding, answers, form, offset",
    "lost": "reason, unsent",
}


@dataclass(frozen=True)
class Totals:
    """Rows of one account by state; rows that never reached a victim are in no state."""

    settled: int = 0
    lost: int = 0
    reserved: int = 0


class Record:
    """The ledger of one run, open for reading. `Ledger` also writes.

    Example:
        >>> record = Record.read(Path("runs/mine/ledger.sqlite"))  # doctest: +SKIP
        >>> record.totals("attack").settled, record.verify()  # doctest: +SKIP
        (10000, [])
    """

    path: Path
    num_classes: int
    input_shape: tuple[int, ...]
    _db: sqlite3.Connection
    _lock: BaseFileLock | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open for reading only: nothing is changed, and the audit may be running.

        Raises:
            LedgerError: the file does not exist, or is damaged.
        """
        if not path.is_file():
            raise not_a_run(path)
        record = cls.__new__(cls)
        record.path = path
        with disk_faults(path):
            record._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            record._load()
        return record

    def close(self) -> None:
        """Close the file. Open reservations become lost at the next opening for writing."""
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def _load(self) -> None:
        """Read the first event, the facts, the files and the head.

        Raises:
            LedgerError: the file is no ledger of this format.
        """
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
        first: dict[str, Any] = {}
        self._facts: dict[str, str] = {}
        self._files: dict[str, str] | None = None
        last: tuple[str, bytes] = ("", GENESIS)
        try:
            if {"batches", "chain"} <= tables:
                for event, text in self._db.execute(
                    "SELECT event, content FROM chain WHERE batch IS NULL ORDER BY seq"
                ):
                    content = json.loads(text)
                    if event == "opened":
                        first = dict(content)
                    elif event == "noted":
                        self._facts |= content
                    else:
                        self._files = dict(content)
                last = (
                    self._db.execute(
                        "SELECT event, digest FROM chain ORDER BY seq DESC LIMIT 1"
                    ).fetchone()
                    or last
                )
            self.audit = str(first["audit"])
            self.num_classes = int(first["num_classes"])
            self.input_shape = tuple(first["input_shape"])
            self._head = bytes.fromhex(last[1].hex())
        except (ValueError, KeyError, TypeError, AttributeError):
            first = {}
        if first.get("format") != FORMAT:
            raise LedgerError(
                f"{self.path} is not a {FORMAT} record: it is damaged, or of another version.",
                SetKey("out"),
                Advice("move that file away"),
            )
        self.finished = last[0] == "files"
        self._inputs = KeptInputs(self.path.with_name(INPUTS), self.input_shape)

    # -- content ---------------------------------------------------------------------------------

    @property
    def head(self) -> str:
        """The last digest of the chain, 64 hex digits: it identifies all events so far."""
        return self._head.hex()

    @property
    def head_of_rows(self) -> str:
        """The head before the files were recorded at the end, the one in `result.json`."""
        link = self._db.execute(
            "SELECT digest FROM chain WHERE event != 'files' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return bytes(link[0]).hex()

    def has(self, head: str) -> bool:
        """Whether `head` is the current or an earlier head of the chain."""
        return self.rows_since(head) is not None

    def rows_since(self, head: str) -> int | None:
        """The number of rows charged after `head` was the head; None if it never was the head."""
        digest = bytes.fromhex(head)
        link = self._db.execute("SELECT seq FROM chain WHERE digest = ?", (digest,)).fetchone()
        if link is None and digest != GENESIS:
            return None
        (rows,) = self._db.execute(
            "SELECT COALESCE(SUM(count - unsent), 0) FROM batches JOIN chain ON batch = id "
            "WHERE event = 'reserved' AND seq > ?", link or (0,)
        ).fetchone()  # fmt: skip
        return int(rows)

    def fact(self, key: str) -> str | None:
        """The last recorded value of a fact of the run; None if there is none."""
        return self._facts.get(key)

    @property
    def files(self) -> Mapping[str, str] | None:
        """The last recorded files of the run folder; None before the run has ended once.

        Keys are paths relative to the run folder. Values are "sha256:..." of the file's bytes, or
        "chain:..." with the head of another ledger. `finished` is false if other events follow.
        """
        return self._files

    def totals(self, account: Account) -> Totals:
        """The rows of one account by state."""
        rows = self._db.execute(
            "SELECT state, SUM(count - unsent) FROM batches WHERE account = ? GROUP BY state",
            (account,),
        )
        return Totals(**dict(rows.fetchall()))

    # -- verification ----------------------------------------------------------------------------

    def verify(self) -> list[str]:
        """Recompute the chain from the tables. Returns the faults; [] if nothing was altered."""
        with disk_faults(self.path):
            state = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if state != "ok":
                return [f"the database is damaged: {state}"]
            try:
                return list(self._faults())
            except LedgerError as error:  # kept inputs are missing
                return [error.fact]
            except (TypeError, ValueError, OverflowError) as error:
                return [f"the ledger holds a value that no event wrote: {error}"]

    def _faults(self) -> Iterator[str]:
        made = self._db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")
        if made.fetchall() != SCHEMA:
            yield "the tables of the ledger were altered"
            return
        head, last, states = GENESIS, 0, dict[int, str]()
        for seq, event, batch, content, digest in self._db.execute(
            "SELECT seq, event, batch, content, digest FROM chain ORDER BY seq"
        ):
            if seq != last + 1:
                yield f"events {last + 1} to {seq - 1} are missing from the chain"
                return
            last = seq
            values: tuple[Value, ...] = (event, batch, content)
            what = f"event {seq} ({event})"
            if event in EVENT_COLUMNS:
                row = self._batch(event, batch)
                if row is None:
                    yield f"batch {batch} was deleted"
                    return
                values, states[batch] = (*values, *row), event
                what = f"batch {batch}"
            head = next_link(head, values)
            if head != digest:
                written = event if event in EVENT_COLUMNS else "written"
                yield f"{what} was altered after it was {written}"
                return
            if event == "settled" and not self._holds_inputs(batch):
                yield f"the kept inputs of batch {batch} were altered"
                return
        yield from self._unrecorded(states)

    def _batch(self, event: str, batch: int) -> tuple[Value, ...] | None:
        """The values that the event wrote to a batch, and the kept indices; None: no such batch."""
        columns = self._db.execute(
            f"SELECT {EVENT_COLUMNS[event]}, count FROM batches WHERE id = ?", (batch,)
        ).fetchone()
        if columns is None:
            return None
        *values, count = columns
        if event == "settled" and values[2] == "index":
            values.append(self._inputs.payload("index", values[3], count))
        return tuple(values)

    def _holds_inputs(self, batch: int) -> bool:
        """Whether a batch's kept inputs are those that were sent; indices are in the chain."""
        count, digests, form, offset = self._db.execute(
            "SELECT count, digests, form, offset FROM batches WHERE id = ?", (batch,)
        ).fetchone()
        if form not in ("uint8", "float32"):
            return True
        return self._inputs.digests(form, offset, count) == digests

    def _unrecorded(self, states: Mapping[int, str]) -> Iterator[str]:
        """Batches without an event, and columns that no event of their batch wrote."""
        for batch, state in self._db.execute("SELECT id, state FROM batches"):
            if states.get(batch) != state:
                yield f"batch {batch} is marked {state}, but {states.get(batch)} in the chain"
        for (batch,) in self._db.execute(
            "SELECT id FROM batches WHERE (state != 'lost' AND (reason IS NOT NULL OR unsent != 0))"
            " OR (state != 'settled' AND COALESCE(encoding, answers, form, offset) IS NOT NULL)"
        ):
            yield f"batch {batch} was altered: it holds values that no event wrote"


def not_a_run(path: Path) -> LedgerError:
    """The error for a ledger that does not exist."""
    return LedgerError(
        f"{path} is not there: {path.parent} is not a run folder.",
        Advice("name the folder of a run"),
    )
