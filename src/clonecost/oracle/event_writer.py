"""Events are written to a ledger's file, each as a link of its chain (see `record`).

What an event says of a batch is written in the same transaction. The last link is read from the
file each time, so that nothing is left to mend when a transaction fails, or when an interrupt comes
after it was committed.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from clonecost.oracle.hash_chain import DIGEST_BYTES, Value, next_link
from clonecost.oracle.input_store import KeptInputs
from clonecost.oracle.ledger_schema import SCHEMA, Account, last_event
from clonecost.oracle.pending import Outcome
from clonecost.persistence.disk import disk_faults


@dataclass(frozen=True)
class EventWriter:
    """Writes events to an open ledger that no other process writes to.

    Attributes:
        path: of the ledger, for messages.
        inputs: the kept inputs; the indices among them are a part of the chain.
    """

    db: sqlite3.Connection
    path: Path
    inputs: KeptInputs

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside the `with`, or nothing; durable afterwards.

        Raises:
            LedgerError: the disk is full, or the ledger in use.
        """
        return _transaction(self.db, self.path)

    def told(self, event: Literal["noted", "files"], content: Mapping[str, str]) -> None:
        """Write an event that is of no batch; durable on return."""
        with self.transaction():
            _link(self.db, event, content=_as_json(content))

    def noted(self, facts: Mapping[str, str]) -> None:
        """Write facts about the run, inside a transaction."""
        _link(self.db, "noted", content=_as_json(facts))

    def reserved(self, account: Account, position: int, digests: bytes) -> int:
        """Add a reserved batch, inside a transaction. Returns its id."""
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        values = (account, position, len(digests) // DIGEST_BYTES, digests, at)
        batch = self.db.execute(
            "INSERT INTO batches (account, position, count, digests, at, state) "
            "VALUES (?, ?, ?, ?, ?, 'reserved')",
            values,
        ).lastrowid
        assert batch is not None
        _link(self.db, "reserved", batch, values)
        return batch

    def completed(self, outcome: Outcome) -> None:
        """Write the outcome of a reserved batch, inside a transaction."""
        if outcome.event == "lost":
            self.db.execute(
                "UPDATE batches SET state = 'lost', reason = ?, unsent = ? WHERE id = ?",
                (*outcome.values, outcome.batch),
            )
            _link(self.db, "lost", outcome.batch, outcome.values)
            return
        encoding, form, offset, refused, reason = outcome.values
        values = (encoding, outcome.answers, form, offset, refused, reason)
        self.db.execute(
            "UPDATE batches SET state = 'settled', encoding = ?, answers = ?, form = ?, "
            "offset = ?, refused = ?, reason = ? WHERE id = ?",
            (*values, outcome.batch),
        )
        index: tuple[bytes, ...] = ()
        if form == "index":
            (count,) = self.db.execute(
                "SELECT count FROM batches WHERE id = ?", (outcome.batch,)
            ).fetchone()
            index = (self.inputs.payload("index", offset, count),)
        _link(self.db, "settled", outcome.batch, (*values, *index))


def begin(db: sqlite3.Connection, path: Path, opened: Mapping[str, Any]) -> None:
    """Make the tables of an empty file, and write its first event."""
    with _transaction(db, path):
        for *_, statement in SCHEMA:
            db.execute(statement)
        _link(db, "opened", content=_as_json(opened))


@contextmanager
def _transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    with disk_faults(path):
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _link(
    db: sqlite3.Connection, event: str, batch: int | None = None, values: tuple[Value, ...] = (),
    content: str | None = None,
) -> None:  # fmt: skip
    _, head = last_event(db)
    db.execute(
        "INSERT INTO chain (event, batch, content, digest) VALUES (?, ?, ?, ?)",
        (event, batch, content, next_link(head, (event, batch, content, *values))),
    )


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)
