"""A ledger's file as everyone may read it: what it holds, and whether it was altered.

Two tables: `batches` holds the rows that were sent, `chain` one line for each event, in order:

    opened     which audit this is, the format, the victim's interface        content: JSON
    noted      facts of the run: threads, horizon, milestones, seconds ...    content: JSON
    reserved   a batch was charged                                            its columns
    settled    its answers came                                               its columns
    lost       they never came                                                its columns
    files      the files of the run folder with their digests                 content: JSON

Each event is linked to the one before (`hash_chain`), so the last link, the head, stands for all of
them. Nothing is kept outside the chain. Nothing here needs torch: a run is verified without it.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from filelock import BaseFileLock

from clonecost.errors import LedgerError
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
SCHEMA = [  # as SQLite lists it, by name
    ("table", "batches", "batches", BATCHES),
    ("index", "by_position", "batches", BY_POSITION),
    ("table", "chain", "chain", CHAIN),
]
SAID = {  # the columns of a batch that an event speaks of
    "reserved": "account, position, count, digests, at",
    "settled": "encoding, answers, form, offset",
    "lost": "reason, unsent",
}


@dataclass(frozen=True)
class Totals:
    """Rows of one account by state; those that never reached a victim are in none."""

    settled: int = 0
    lost: int = 0
    reserved: int = 0


class Record:
    """One run's ledger, opened for reading. `Ledger` also writes."""

    path: Path
    num_classes: int
    input_shape: tuple[int, ...]
    _db: sqlite3.Connection
    _guard: BaseFileLock | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open for reading only: nothing is changed, an audit may go on meanwhile.

        Raises:
            LedgerError: there is none, or it is damaged.
        """
        if not path.is_file():
            raise LedgerError(f"{path} is not there: this is not a run folder")
        record = cls.__new__(cls)
        record.path = path
        with disk_faults(path):
            record._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            record._load()
        return record

    def close(self) -> None:
        """Close the file. Reservations still open become lost at the next opening for writing."""
        self._db.close()
        if self._guard is not None:
            self._guard.release()

    def _load(self) -> None:
        """Read what is small: the first event, the facts, the files, the head."""
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
        first: dict[str, Any] = {}
        self._facts: dict[str, str] = {}
        self._files: dict[str, str] | None = None
        last: tuple[str, bytes] = ("", GENESIS)
        try:
            if {"batches", "chain"} <= tables:
                for event, content in self._db.execute(
                    "SELECT event, content FROM chain WHERE batch IS NULL ORDER BY seq"
                ):
                    said = json.loads(content)
                    if event == "opened":
                        first = dict(said)
                    elif event == "noted":
                        self._facts |= said
                    else:
                        self._files = dict(said)
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
                f"{self.path} is not a {FORMAT} record: broken, or of another version; "
                "move it away or name another run folder with --out"
            )
        self.finished = last[0] == "files"
        self._inputs = KeptInputs(self.path.with_name(INPUTS), self.input_shape)

    # -- what it holds ---------------------------------------------------------------------------

    @property
    def head(self) -> str:
        """The last digest of the chain, in hex: it proves all events up to here."""
        return self._head.hex()

    @property
    def head_of_rows(self) -> str:
        """The head before the files were recorded at the end: it is the one in `result.json`."""
        found = self._db.execute(
            "SELECT digest FROM chain WHERE event != 'files' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return bytes(found[0]).hex()

    def has(self, head: str) -> bool:
        """Was this ever the head of the chain?"""
        return self.rows_since(head) is not None

    def rows_since(self, head: str) -> int | None:
        """How many rows were charged after `head` was the head; None when it never was."""
        digest = bytes.fromhex(head)
        found = self._db.execute("SELECT seq FROM chain WHERE digest = ?", (digest,)).fetchone()
        if found is None and digest != GENESIS:
            return None
        (rows,) = self._db.execute(
            "SELECT COALESCE(SUM(count - unsent), 0) FROM batches JOIN chain ON batch = id "
            "WHERE event = 'reserved' AND seq > ?", found or (0,)
        ).fetchone()  # fmt: skip
        return int(rows)

    def fact(self, key: str) -> str | None:
        """A fact of the run, as it was noted last."""
        return self._facts.get(key)

    @property
    def files(self) -> Mapping[str, str] | None:
        """The files of the run folder as they were recorded last; None before any run has ended.

        Each is a path relative to the run folder with "sha256:..." of its bytes, or, of another
        ledger, "chain:..." with its head. `finished` tells whether something follows the record.
        """
        return self._files

    def totals(self, account: Account) -> Totals:
        """Rows of one account by their state."""
        rows = self._db.execute(
            "SELECT state, SUM(count - unsent) FROM batches WHERE account = ? GROUP BY state",
            (account,),
        )
        return Totals(**dict(rows.fetchall()))

    # -- was it altered? -------------------------------------------------------------------------

    def verify(self) -> list[str]:
        """Recompute the chain from what the tables say now. Returns what is wrong; [] is whole."""
        with disk_faults(self.path):
            state = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if state != "ok":
                return [f"the database is damaged: {state}"]
            try:
                return list(self._faults())
            except LedgerError as error:  # kept inputs that are gone
                return [str(error)]
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
            said: tuple[Value, ...] = (event, batch, content)
            what = f"event {seq} ({event})"
            if event in SAID:
                row = self._batch(event, batch)
                if row is None:
                    yield f"batch {batch} was deleted"
                    return
                said, states[batch] = (*said, *row), event
                what = f"batch {batch}"
            head = next_link(head, said)
            if head != digest:
                yield f"{what} was altered after it was {event if event in SAID else 'written'}"
                return
            if event == "settled" and not self._holds_inputs(batch):
                yield f"the kept inputs of batch {batch} were altered"
                return
        yield from self._strays(states)

    def _batch(self, event: str, batch: int) -> tuple[Value, ...] | None:
        """What a batch says now of an event, with the kept indices of its rows."""
        columns = self._db.execute(
            f"SELECT {SAID[event]}, count FROM batches WHERE id = ?", (batch,)
        ).fetchone()
        if columns is None:
            return None
        *said, count = columns
        if event == "settled" and said[2] == "index":
            said.append(self._inputs.payload("index", said[3], count))
        return tuple(said)

    def _holds_inputs(self, batch: int) -> bool:
        """Are a batch's kept inputs those that were sent? Indices are in the chain themselves."""
        count, digests, form, offset = self._db.execute(
            "SELECT count, digests, form, offset FROM batches WHERE id = ?", (batch,)
        ).fetchone()
        if form not in ("uint8", "float32"):
            return True
        return self._inputs.digests(form, offset, count) == digests

    def _strays(self, states: Mapping[int, str]) -> Iterator[str]:
        """Batches that no event tells of, and columns that no event of their batch speaks of."""
        for batch, state in self._db.execute("SELECT id, state FROM batches"):
            if states.get(batch) != state:
                yield f"batch {batch} is marked {state}, the chain says {states.get(batch)}"
        for (batch,) in self._db.execute(
            "SELECT id FROM batches WHERE (state != 'lost' AND (reason IS NOT NULL OR unsent != 0))"
            " OR (state != 'settled' AND COALESCE(encoding, answers, form, offset) IS NOT NULL)"
        ):
            yield f"batch {batch} was altered: it holds what no event wrote"
