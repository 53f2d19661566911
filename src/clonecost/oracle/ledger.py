"""The durable record of every row that was sent: what was asked, what came back, in which order.

One SQLite file per run (write-ahead log, every commit synced). A batch is *reserved* before the
victim is asked and *settled* after the answer. A crash in between leaves a reservation: on the next
opening it becomes *lost*, because the victim may have served and billed it. Rows of a lost batch
that surely never reached the victim are noted as unsent and count nowhere.

Each event (reserved, settled, lost) adds a link to a chain of SHA-256 digests over everything that
it says, so that a later change, insertion or deletion is found; the head of the chain stands in
`result.json`. Answers are kept always, inputs on request (`kept_inputs`).

Rows are counted in *accounts*: "attack" (the price of the clone), "evaluation" (the owner's own
test rows) and "spot" (rows asked again, to see whether the victim is still the same). Within a
account every row has a position, from 0.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from clonecost.errors import LedgerError
from clonecost.oracle.hash_chain import (
    DIGEST_BYTES,
    GENESIS,
    answered,
    asked,
    decode,
    encode,
    gone,
    next_link,
    row_digests,
)
from clonecost.oracle.input_store import KeptInputs, Packed
from clonecost.persistence.disk import disk_faults
from clonecost.types import Shape, as_pixels

FORMAT = "clonecost/ledger/1"
Account = Literal["attack", "evaluation", "spot"]
ACCOUNTS: tuple[Account, ...] = get_args(Account)

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (
    id       INTEGER PRIMARY KEY,
    account    TEXT    NOT NULL,
    position INTEGER NOT NULL,                    -- of the first row, within the account
    count    INTEGER NOT NULL CHECK (count > 0),  -- rows
    digests  BLOB    NOT NULL,                    -- 16 bytes a row
    state    TEXT    NOT NULL CHECK (state IN ('reserved', 'settled', 'lost')),
    reason   TEXT,                                -- why it was lost
    unsent   INTEGER NOT NULL DEFAULT 0,          -- of a lost batch: rows that never arrived
    encoding TEXT,                                -- of the answers: 'float32', 'float64', 'label'
    answers  BLOB,
    form     TEXT,                                -- of kept inputs: 'index', 'uint8' or 'float32'
    offset   INTEGER,                             -- of kept inputs, in inputs.bin
    at       TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX by_position ON batches (account, position);
CREATE TABLE chain (
    seq    INTEGER PRIMARY KEY,
    batch  INTEGER NOT NULL REFERENCES batches (id),
    event  TEXT    NOT NULL,
    digest BLOB    NOT NULL
);
"""


@dataclass(frozen=True)
class Recorded:
    """Rows that were bought before."""

    digests: bytes  # 16 bytes a row
    answers: Tensor  # (count, K) float32, or float64 where the victim's were kept so


@dataclass(frozen=True)
class Totals:
    """Rows of one account by state; those that never reached a victim are in none."""

    settled: int = 0
    lost: int = 0
    reserved: int = 0


class Ledger:
    """One run's record. Opening it for writing excludes every other process.

    Args:
        path: the SQLite file; made when it is not there.
        audit: what is audited, in one string: the same file never serves another audit.
        input_shape: shape of one row.
        num_classes: K, the width of an answer.

    Raises:
        LedgerError: the file is broken, of another audit, in use, or cannot be written.
    """

    def __init__(self, path: Path, *, audit: str, input_shape: Shape, num_classes: int) -> None:
        self.path = path
        self._guard = FileLock(path.with_suffix(".lock"))
        try:
            self._guard.acquire(timeout=0)
        except Timeout as error:
            raise LedgerError(
                f"{path.parent} is in use by another process; wait for it or stop it first"
            ) from error
        facts = {"format": FORMAT, "audit": audit, "num_classes": str(num_classes),
                 "input_shape": json.dumps(input_shape)}  # fmt: skip
        try:
            self._open(facts)
        except BaseException:
            self._guard.release()
            raise

    def _open(self, facts: dict[str, str]) -> None:
        with disk_faults(self.path):
            self._db = sqlite3.connect(self.path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                with self._transaction():
                    for statement in SCHEMA.strip().split(";\n"):
                        self._db.execute(statement)
                    self._db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            self._load(add_columns=True)
        if self.fact("audit") != facts["audit"]:
            raise LedgerError(
                f"{self.path.parent} holds the record of another audit; go on with that one by "
                f"`clonecost resume {self.path.parent}`, or name another folder with --out"
            )
        for (batch,) in self._db.execute(
            "SELECT id FROM batches WHERE state = 'reserved'"
        ).fetchall():
            self.lose(batch, "the audit ended while this batch was in flight")

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Open for reading only: nothing is changed, an audit may go on meanwhile."""
        if not path.is_file():
            raise LedgerError(f"{path} is not there: this is not a run folder")
        ledger = cls.__new__(cls)
        ledger.path = path
        ledger._guard = FileLock(path.with_suffix(".lock"))
        with disk_faults(path):
            ledger._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            ledger._load()
        return ledger

    def _load(self, *, add_columns: bool = False) -> None:
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
        if not {"meta", "batches", "chain"} <= tables or self.fact("format") != FORMAT:
            raise LedgerError(
                f"{self.path} is not a {FORMAT} record: broken, or of another version; "
                "move it away or name another run folder with --out"
            )
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(batches)")}
        self._unsent = "unsent"
        if "unsent" not in columns and add_columns:  # a ledger from before endpoints
            self._db.execute("ALTER TABLE batches ADD COLUMN unsent INTEGER NOT NULL DEFAULT 0")
        elif "unsent" not in columns:
            self._unsent = "0"
        self.num_classes = int(self.fact("num_classes") or 0)
        self.input_shape: Shape = tuple(json.loads(self.fact("input_shape") or "[]"))
        self._inputs = KeptInputs(self.path.with_name("inputs.bin"), self.input_shape)
        last = self._db.execute("SELECT digest FROM chain ORDER BY seq DESC LIMIT 1").fetchone()
        self._head: bytes = last[0] if last else GENESIS
        self._lost = sum(self.totals(account).lost for account in ACCOUNTS)

    def close(self) -> None:
        """Close the file. Reservations still open become lost at the next opening."""
        self._db.close()
        self._guard.release()

    # -- writing ---------------------------------------------------------------------------------

    def reserve(self, *, account: Account, position: int, digests: bytes) -> int:
        """Charge a batch; durable when this returns. Returns the batch's id."""
        count = len(digests) // DIGEST_BYTES
        with self._transaction():
            cursor = self._db.execute(
                "INSERT INTO batches (account, position, count, digests, state) "
                "VALUES (?, ?, ?, ?, 'reserved')",
                (account, position, count, digests),
            )
            batch = cursor.lastrowid
            assert batch is not None
            self._link(batch, "reserved", asked(account, position, count, digests))
        return batch

    def settle(
        self, batch: int, answers: Tensor, *, labels_only: bool = False, kept: Packed | None = None
    ) -> None:
        """Complete a batch with its answers, (n, K) on the simplex; durable on return.

        Args:
            labels_only: the answers are one-hot, so the class number says all (2 bytes a row).
            kept: the inputs, packed, when they are to be kept.
        """
        encoding, blob = encode(answers, labels_only)
        form, index, offset = None, b"", None
        if kept is not None:
            form, index = kept.form, kept.payload if kept.form == "index" else b""
            with disk_faults(self._inputs.path):
                offset = self._inputs.append(kept.payload)
        with self._transaction():
            self._db.execute(
                "UPDATE batches SET state = 'settled', encoding = ?, answers = ?, form = ?, "
                "offset = ? WHERE id = ?",
                (encoding, blob, form, offset, batch),
            )
            self._link(batch, "settled", answered(encoding, blob, form, offset, index))

    def lose(self, batch: int, reason: str, *, unsent: int = 0) -> None:
        """The answer never came or was unusable: paid for, but of no use.

        Args:
            unsent: rows of the batch that surely never reached the victim: they are not counted.
        """
        with self._transaction():
            (count,) = self._db.execute(
                "SELECT count FROM batches WHERE id = ?", (batch,)
            ).fetchone()
            self._db.execute(
                "UPDATE batches SET state = 'lost', reason = ?, unsent = ? WHERE id = ?",
                (reason, unsent, batch),
            )
            self._link(batch, "lost", gone(reason, unsent))
        self._lost += count - unsent

    def note(self, **facts: str | float) -> None:
        """Keep facts about the run, all or none; they are not part of the chain."""
        with self._transaction():
            rows = [(key, str(value)) for key, value in facts.items()]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def _link(self, batch: int, event: str, said: bytes) -> None:
        self._head = next_link(self._head, batch, event, said)
        self._db.execute(
            "INSERT INTO chain (batch, event, digest) VALUES (?, ?, ?)", (batch, event, self._head)
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with disk_faults(self.path):
            head = getattr(self, "_head", GENESIS)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._head = head
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # -- reading ---------------------------------------------------------------------------------

    def recorded(self, account: Account, position: int, count: int) -> Recorded | None:
        """What was bought from `position` on, at most `count` rows; None when nothing was."""
        digests: list[bytes] = []
        answers: list[Tensor] = []
        at, end = position, position + count
        for start, rows, digest, encoding, blob in self._db.execute(
            "SELECT position, count, digests, encoding, answers FROM batches WHERE account = ? "
            "AND state = 'settled' AND position < ? AND position + count > ? ORDER BY position",
            (account, end, position),
        ):
            cut = slice(at - start, min(rows, end - start))
            digests.append(digest[cut.start * DIGEST_BYTES : cut.stop * DIGEST_BYTES])
            answers.append(decode(encoding, blob, self.num_classes)[cut])
            at = start + cut.stop
        return Recorded(b"".join(digests), torch.cat(answers)) if answers else None

    def totals(self, account: Account) -> Totals:
        rows = self._db.execute(
            f"SELECT state, SUM(count - {self._unsent}) FROM batches WHERE account = ? "
            "GROUP BY state", (account,)
        )  # fmt: skip
        return Totals(**dict(rows.fetchall()))

    @property
    def lost(self) -> int:
        """Rows lost so far, in all accounts together: paid, but of no use."""
        return self._lost

    @property
    def head(self) -> str:
        """The last digest of the chain, in hex: it proves all events up to here."""
        return self._head.hex()

    def has(self, head: str) -> bool:
        """Was this ever the head of the chain?"""
        found = self._db.execute("SELECT 1 FROM chain WHERE digest = ?", (bytes.fromhex(head),))
        return bytes.fromhex(head) == GENESIS or found.fetchone() is not None

    def fact(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def bought(self, pool: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Everything the attack bought: inputs (n, *shape), uint8 or float32, and answers (n, K).

        Args:
            pool: (N, *shape), in which rows kept as indices are looked up.

        Raises:
            LedgerError: rows were not kept, or the pool is not the one that was asked from.
        """
        inputs: list[Tensor] = []
        answers: list[Tensor] = []
        missing = 0
        for batch, count, digests, encoding, blob, form, offset in self._db.execute(
            "SELECT id, count, digests, encoding, answers, form, offset FROM batches "
            "WHERE account = 'attack' AND state = 'settled' ORDER BY position"
        ):
            if form is None:
                missing += count
                continue
            rows = self._inputs.rows(form, offset, count, pool)
            if row_digests(rows) != digests:
                raise LedgerError(
                    f"the inputs of batch {batch} are not those that were sent: "
                    f"the proxy data set or {self._inputs.path.name} has changed"
                )
            inputs.append(rows)
            answers.append(decode(encoding, blob, self.num_classes))
        if missing:
            raise LedgerError(
                f"{missing:,} of the rows that were bought were not kept, so they cannot train "
                "another student; run the audit with --keep all"
            )
        if not inputs:
            raise LedgerError(f"{self.path} holds no answered rows yet")
        if len({rows.dtype for rows in inputs}) > 1:  # some batches happened to be 8-bit images
            inputs = [as_pixels(rows) for rows in inputs]
        return torch.cat(inputs), torch.cat(answers)

    def some_bought(
        self, count: int, rng: torch.Generator, pool: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """A few rows of the attack, (count, *shape) pixels, with their answers (count, K).

        None when a row that was drawn was not kept, or comes from a pool that is not given.
        """
        bought = self.totals("attack").settled
        if not bought or not count:
            return None
        inputs, answers = [], []
        for place in torch.randint(bought, (count,), generator=rng).tolist():
            found = self._db.execute(
                "SELECT position, count, encoding, answers, form, offset FROM batches "
                "WHERE account = 'attack' AND state = 'settled' AND position <= ? "
                "AND position + count > ?", (place, place)
            ).fetchone()  # fmt: skip
            if found is None or found[4] is None or (found[4] == "index" and pool is None):
                return None
            position, rows, encoding, blob, form, offset = found
            inputs.append(as_pixels(self._inputs.rows(form, offset, rows, pool)[place - position]))
            answers.append(decode(encoding, blob, self.num_classes)[place - position])
        return torch.stack(inputs), torch.stack(answers)

    def verify(self) -> list[str]:
        """Recompute the chain from what the batches say now. Returns what is wrong; [] is whole."""
        with disk_faults(self.path):
            state = self._db.execute("PRAGMA quick_check").fetchone()[0]
            return list(self._faults()) if state == "ok" else [f"the database is damaged: {state}"]

    def _faults(self) -> Iterator[str]:
        head, last, states = GENESIS, 0, dict[int, str]()
        for seq, batch, event, digest in self._db.execute(
            "SELECT seq, batch, event, digest FROM chain ORDER BY seq"
        ):
            if seq != last + 1:
                yield f"events {last + 1} to {seq - 1} are missing from the chain"
                return
            last, states[batch] = seq, event
            row = self._db.execute(
                f"SELECT account, position, count, digests, reason, {self._unsent}, encoding, "
                "answers, form, offset FROM batches WHERE id = ?", (batch,)
            ).fetchone()  # fmt: skip
            if row is None:
                yield f"batch {batch} was deleted"
                return
            head = next_link(head, batch, event, self._said(event, *row))
            if head != digest:
                yield f"batch {batch} (from row {row[1]}) was altered after it was {event}"
                return
            _, position, count, digests, *_, form, offset = row
            kept = event == "settled" and form in ("uint8", "float32")  # indices are in the chain
            if kept and row_digests(self._inputs.rows(form, offset, count, None)) != digests:
                yield f"the kept inputs of batch {batch} (from row {position}) were altered"
                return
        for batch, state in self._db.execute("SELECT id, state FROM batches"):
            if states.get(batch) != state:
                yield f"batch {batch} is marked {state}, the chain says {states.get(batch)}"

    def _said(  # the columns of one batch, in the order of the query above
        self, event: str, account: str, position: int, count: int, digests: bytes,
        reason: str | None, unsent: int, encoding: str, answers: bytes, form: str | None,
        offset: int | None,
    ) -> bytes:  # fmt: skip
        if event == "reserved":
            return asked(account, position, count, digests)
        if event == "lost":
            return gone(reason or "", unsent)
        index = b""
        if form == "index" and offset is not None:
            index = self._inputs.payload("index", offset, count)
        return answered(encoding, answers, form, offset, index)
