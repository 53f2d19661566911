"""The durable record of every row that was sent: what was asked, what came back, in which order.

One SQLite file per run (write-ahead log, every commit synced). A batch is *reserved* before the
victim is asked and *settled* after the answer. A crash in between leaves a reservation: on the next
opening it becomes *lost*, because the victim may have served and billed it. Rows of a lost batch
that surely never reached the victim are noted as unsent and count nowhere.

Every event adds a link to a chain of SHA-256 digests (`record`, `hash_chain`), so that a later
change, insertion or deletion is found. Answers are kept always, inputs on request (`input_store`).

Rows are counted in *accounts*: "attack" (the price of the clone), "evaluation" (the owner's own
test rows) and "spot" (rows asked again, to see whether the victim is still the same). Within an
account every row has a position, from 0.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from clonecost.errors import LedgerError
from clonecost.oracle.hash_chain import DIGEST_BYTES, GENESIS, Value, next_link
from clonecost.oracle.input_store import Form, Packed
from clonecost.oracle.record import ACCOUNTS, FORMAT, SCHEMA, Account, Record, Totals
from clonecost.oracle.tensor_codec import decode, encode, row_digests, unpack
from clonecost.persistence.disk import disk_faults
from clonecost.types import Shape, as_pixels

__all__ = ["ACCOUNTS", "Account", "Ledger", "Recorded", "Totals"]


@dataclass(frozen=True)
class Recorded:
    """Rows that were bought before."""

    digests: bytes  # 16 bytes a row
    answers: Tensor  # (count, K) float32, or float64 where the victim's were kept so


class Ledger(Record):
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
        opened = {"format": FORMAT, "audit": audit, "num_classes": num_classes,
                  "input_shape": list(input_shape)}  # fmt: skip
        self._open(path, opened)
        if self.audit != audit:
            self.close()
            raise LedgerError(
                f"{path.parent} holds the record of another audit; go on with that one by "
                f"`clonecost resume {path.parent}`, or name another folder with --out"
            )
        for (batch,) in self._db.execute(
            "SELECT id FROM batches WHERE state = 'reserved'"
        ).fetchall():
            self.lose(batch, "the audit ended while this batch was in flight")

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Open a record that is there for writing, of whichever audit it is.

        Raises:
            LedgerError: it is not there, broken, in use, or cannot be written.
        """
        if not path.is_file():
            raise LedgerError(f"{path} is not there: this is not a run folder")
        ledger = cls.__new__(cls)
        ledger._open(path, None)
        return ledger

    def _open(self, path: Path, opened: Mapping[str, Any] | None) -> None:
        """Lock the file, make its tables if it has none yet, and load it."""
        self.path = path
        self._guard = FileLock(path.with_suffix(".lock"))
        try:
            self._guard.acquire(timeout=0)
        except Timeout as error:
            raise LedgerError(
                f"{path.parent} is in use by another process; wait for it or stop it first"
            ) from error
        try:
            with disk_faults(path):
                self._db = sqlite3.connect(path, isolation_level=None)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                empty = not self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
                if empty and opened is not None:
                    self._head = GENESIS
                    with self._transaction():
                        for *_, statement in SCHEMA:
                            self._db.execute(statement)
                        self._link("opened", content=_as_json(opened))
                self._load()
                self._lost = sum(self.totals(account).lost for account in ACCOUNTS)
        except BaseException:
            self._guard.release()
            raise

    # -- writing ---------------------------------------------------------------------------------

    def reserve(self, *, account: Account, position: int, digests: bytes) -> int:
        """Charge a batch; durable when this returns. Returns the batch's id."""
        count = len(digests) // DIGEST_BYTES
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        said = (account, position, count, digests, at)
        with self._transaction():
            cursor = self._db.execute(
                "INSERT INTO batches (account, position, count, digests, at, state) "
                "VALUES (?, ?, ?, ?, ?, 'reserved')",
                said,
            )
            batch = cursor.lastrowid
            assert batch is not None
            self._link("reserved", batch, said)
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
        form, offset = None, None
        index: tuple[bytes, ...] = ()
        if kept is not None:
            form, index = kept.form, (kept.payload,) if kept.form == "index" else ()
            with disk_faults(self._inputs.path):
                offset = self._inputs.append(kept.payload)
        said = (encoding, blob, form, offset)
        with self._transaction():
            self._db.execute(
                "UPDATE batches SET state = 'settled', encoding = ?, answers = ?, form = ?, "
                "offset = ? WHERE id = ?",
                (*said, batch),
            )
            self._link("settled", batch, (*said, *index))

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
            self._link("lost", batch, (reason, unsent))
        self._lost += count - unsent

    def note(self, **facts: str | float) -> None:
        """Keep facts about the run, all or none; a later value of the same fact counts."""
        said = {key: str(value) for key, value in facts.items()}
        with self._transaction():
            self._link("noted", content=_as_json(said))
        self._facts |= said

    def record_files(self, files: Mapping[str, str]) -> None:
        """The run has ended: link the digests of all its files (see `Record.files`).

        The last such event counts, and only as long as no other event follows it.
        """
        with self._transaction():
            self._link("files", content=_as_json(files))
        self._files, self.finished = dict(files), True

    def _link(
        self, event: str, batch: int | None = None, said: tuple[Value, ...] = (),
        content: str | None = None,
    ) -> None:  # fmt: skip
        self._head = next_link(self._head, (event, batch, content, *said))
        self._db.execute(
            "INSERT INTO chain (event, batch, content, digest) VALUES (?, ?, ?, ?)",
            (event, batch, content, self._head),
        )
        self.finished = False

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with disk_faults(self.path):
            head = self._head
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

    @property
    def lost(self) -> int:
        """Rows lost so far, in all accounts together: paid, but of no use."""
        return self._lost

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
            rows = self._rows(form, offset, count, pool)
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
            inputs.append(as_pixels(self._rows(form, offset, rows, pool)[place - position]))
            answers.append(decode(encoding, blob, self.num_classes)[place - position])
        return torch.stack(inputs), torch.stack(answers)

    def _rows(self, form: Form, offset: int, count: int, pool: Tensor | None) -> Tensor:
        """The kept inputs of a batch, (count, *shape)."""
        payload = self._inputs.payload(form, offset, count)
        return unpack(form, payload, self.input_shape, pool)


def _as_json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True)
