"""The file of a ledger, open for reading: its content, and whether the content was altered.

The table `batches` holds the rows that were sent, the table `chain` the events, in order:

    opened     the audit, the format, the victim's interface                  content: JSON
    noted      facts of the run: threads, horizon, milestones, seconds ...    content: JSON
    reserved   a batch was charged                                            its columns
    settled    the answers arrived, or the victim refused a row for good      its columns
    lost       no usable answer arrived                                       its columns
    files      the files of the run folder with their digests                 content: JSON

Each event is linked to the one before (`hash_chain`), so the last link, the head, identifies all of
them. Nothing is kept outside the chain. Nothing here needs torch: a run is verified without it.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Self

from clonecost.errors import Advice, CloneCostError, LedgerError, SetKey
from clonecost.oracle import allowance
from clonecost.oracle.hash_chain import GENESIS, Value, next_link
from clonecost.oracle.input_store import KeptInputs
from clonecost.oracle.ledger_schema import (
    EVENT_COLUMNS,
    FORMAT,
    MOST_TEXT,
    Account,
    altered_schema,
    last_event,
    misplaced_value,
    opening_of,
    texts_of,
)
from clonecost.persistence.disk import disk_faults
from clonecost.persistence.sqlite_file import open_to_read, time_limit

INPUTS = "inputs.bin"
TAKEN_OVER = "taken_over"  # the fact: another ledger paid for the rows of the evaluation


@dataclass(frozen=True)
class Totals:
    """Rows of one account by state; rows that never reached a victim are in no state.

    Settled rows include `refused` ones, which the victim refused for good: paid, without an answer.
    They also include rows that are `taken` over with their answers from the ledger of another run,
    which paid for them: nothing was sent.
    """

    settled: int = 0
    lost: int = 0
    reserved: int = 0
    refused: int = 0
    taken: int = 0

    @property
    def paid(self) -> int:
        """Rows that this account has paid for, with or without an answer."""
        return self.settled + self.lost - self.taken


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
            record._db = open_to_read(path, path.with_suffix(".lock"))
            try:
                record._load()
            except BaseException:
                record._db.close()
                raise
        return record

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _load(self) -> None:
        """Read the first event, the facts, the files and the head.

        Raises:
            LedgerError: the file is no ledger of this format.
        """
        with time_limit(self._db, self.path):
            opening = opening_of(self._db)
            if opening is None:
                raise LedgerError(
                    f"{self.path} is not a {FORMAT} record: it is damaged, altered, or of another "
                    "version.",
                    SetKey("out"),
                    Advice("move that file away"),
                )
            self.audit, self.num_classes = opening.audit, opening.num_classes
            self.input_shape = opening.input_shape
            self._inputs = KeptInputs(self.path.with_name(INPUTS), self.input_shape)
            self._read_events()
            self._misplaced = misplaced_value(self._db, opening)

    def _must_fit(self) -> None:
        """Refuse to read rows of a ledger with a value that no event writes.

        Raises:
            LedgerError: there is one.
        """
        if self._misplaced:
            raise self._altered(f"{self._misplaced} holds a value that no event wrote")

    def _read_events(self) -> None:
        self._facts: dict[str, str] = {}
        self._files: dict[str, str] | None = None
        for seq, event, text in self._db.execute(
            "SELECT seq, event, CASE WHEN length(content) <= ? THEN content END FROM chain "
            "WHERE event IN ('noted', 'files') ORDER BY seq", (MOST_TEXT,)
        ):  # fmt: skip
            try:
                content = texts_of(text)
            except ValueError as error:
                raise self._altered(f"event {seq} ({event}) was altered: {error}") from error
            if event == "noted":
                self._facts |= content
            else:
                self._files = content
        self._loaded = last_event(self._db)
        head = self._loaded[1]
        if not isinstance(head, bytes) or len(head) != len(GENESIS):
            raise self._altered("its last event was altered")

    def _altered(self, how: str) -> LedgerError:
        return LedgerError(f"{self.path} was altered: {how}.", Advice("restore it from a copy"))

    # -- content ---------------------------------------------------------------------------------

    def _last(self) -> tuple[str, bytes]:
        """The last event when the file was opened, and its link."""
        return self._loaded

    @property
    def head(self) -> str:
        """The last digest of the chain, 64 hex digits: it identifies all events so far."""
        return self._last()[1].hex()

    @property
    def finished(self) -> bool:
        """Whether the last event recorded the files: the run has ended."""
        return self._last()[0] == "files"

    @property
    def head_of_rows(self) -> str:
        """The head before the files were recorded at the end, the one in `result.json`."""
        link = self._db.execute(
            "SELECT digest FROM chain WHERE event != 'files' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return bytes(link[0]).hex()

    @property
    def readable(self) -> bool:
        """Whether every value has the type, range and size that an event writes."""
        return not self._misplaced

    def has(self, head: str) -> bool:
        """Whether `head` is the current or an earlier head of the chain."""
        return self.rows_since(head) is not None

    def rows_since(self, head: str) -> int | None:
        """The number of rows charged after `head` was the head; None if it never was the head.

        Raises:
            LedgerError: the ledger was altered.
        """
        self._must_fit()
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
        """The rows of one account by state.

        Raises:
            LedgerError: the ledger was altered.
        """
        self._must_fit()
        rows = self._db.execute(
            "SELECT state, SUM(count - unsent) FROM batches WHERE account = ? GROUP BY state",
            (account,),
        )
        (refused,) = self._db.execute(
            "SELECT COALESCE(SUM(refused), 0) FROM batches WHERE account = ?", (account,)
        ).fetchone()
        found = Totals(**dict(rows.fetchall()), refused=refused)
        if account == "attack":
            charged = found.reserved + allowance.left(self._facts, found.settled)
            found = replace(found, reserved=charged)
        taken = account == "evaluation" and self.fact(TAKEN_OVER) is not None
        return replace(found, taken=found.settled) if taken else found

    def begins_as(self, other: "Record", account: Account) -> bool:
        """Whether the settled rows of an account of `other` are the first ones of this ledger's.

        Raises:
            LedgerError: a ledger was altered.
        """
        mine, others = self._settled(account), other._settled(account)
        return all(own.startswith(part) for own, part in zip(mine, others, strict=True))

    def _settled(self, account: Account) -> tuple[bytes, bytes]:
        """The digests and the answers of an account's settled rows, one after the other."""
        self._must_fit()
        rows = self._db.execute(
            "SELECT digests, answers FROM batches WHERE account = ? AND state = 'settled' "
            "ORDER BY position", (account,)
        ).fetchall()  # fmt: skip
        return b"".join(row[0] for row in rows), b"".join(row[1] for row in rows)

    def first_refusal(self, account: Account, *, lost: bool = False) -> str:
        """The victim's words for the first row of an account that it refused; empty: for none.

        Args:
            lost: rows that were lost count, too, with the reason of the loss.

        Raises:
            LedgerError: the ledger was altered.
        """
        self._must_fit()
        found = self._db.execute(
            "SELECT reason FROM batches WHERE account = ? "
            "AND (refused > 0 OR ? AND state = 'lost') ORDER BY position LIMIT 1", (account, lost)
        ).fetchone()  # fmt: skip
        return str(found[0]) if found else ""

    def copy_to(self, other: sqlite3.Connection) -> None:
        """Copy the ledger as it is at one moment into an empty database; a writer may go on.

        Raises:
            sqlite3.Error: the copy cannot be written.
        """
        self._db.backup(other)

    def rows_without_inputs(self) -> list[tuple[int, int]]:
        """(position, count) of batches whose kept inputs lie beyond the end of `inputs.bin`.

        A copy that was made by hand while the run went on may lack them.

        Raises:
            LedgerError: the ledger was altered.
        """
        self._must_fit()
        return self._db.execute(
            "SELECT position, count FROM batches WHERE form IS NOT NULL AND offset + count * "
            "CASE form WHEN 'index' THEN 4 WHEN 'uint8' THEN ?1 WHEN 'float64' THEN 8 * ?1 "
            "ELSE 4 * ?1 END > ?2 "
            "ORDER BY position", (prod(self.input_shape), self._inputs.size()),
        ).fetchall()  # fmt: skip

    # -- verification ----------------------------------------------------------------------------

    def verify(self) -> list[str]:
        """Recompute the chain from the tables. Returns the faults; [] if nothing was altered."""
        with disk_faults(self.path), time_limit(self._db, self.path):
            state = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if state != "ok":
                return [f"the database is damaged: {state}"]
            try:
                return list(self._faults())
            except CloneCostError as error:  # kept inputs are missing, or a link
                return [error.fact]
            except MemoryError:
                return ["the ledger holds a value that does not fit into memory"]

    def _faults(self) -> Iterator[str]:
        if altered_schema(self._db):
            yield "the tables of the ledger were altered"
            return
        if self._misplaced:
            yield f"{self._misplaced} was altered: it holds a value that no event wrote"
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
                if states.get(batch) != (None if event == "reserved" else "reserved"):
                    yield f"batch {batch} was {event} twice, or in another order, in the chain"
                    return
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
        if form not in ("uint8", "float32", "float64"):
            return True
        return self._inputs.digests(form, offset, count) == digests

    def _unrecorded(self, states: Mapping[int, str]) -> Iterator[str]:
        """Batches without an event, and columns that no event of their batch wrote."""
        for batch, state in self._db.execute("SELECT id, state FROM batches"):
            if states.get(batch) != state:
                yield f"batch {batch} is marked {state}, but {states.get(batch)} in the chain"
        for (batch,) in self._db.execute(
            "SELECT id FROM batches WHERE (state = 'reserved' AND reason IS NOT NULL)"
            " OR (state != 'lost' AND unsent != 0) OR (state != 'settled' AND (refused != 0 OR "
            "COALESCE(encoding, answers, form, offset) IS NOT NULL))"
        ):
            yield f"batch {batch} was altered: it holds values that no event wrote"


def not_a_run(path: Path) -> LedgerError:
    """The error for a ledger that does not exist."""
    return LedgerError(
        f"{path} is not there: {path.parent} is not a run folder.",
        Advice("name the folder of a run"),
    )
