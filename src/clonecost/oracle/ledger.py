"""The ledger: a durable record of every row that was sent, its answer, and their order.

A run has one SQLite file (write-ahead log, every commit synced). A batch is *reserved* before it is
sent and *settled* after its answers arrived. A crash in between leaves a reservation, which becomes
*lost* on the next opening, because the victim may have served and billed it. Rows of a lost batch
that certainly never reached the victim are recorded as unsent and counted nowhere.

Every event adds a link to a chain of SHA-256 digests (`record`, `hash_chain`), so that a later
change, insertion or deletion is detected. Answers are always kept, inputs on request
(`input_store`).

Rows are counted in *accounts*: "attack" (the price of the clone), "evaluation" (the owner's own
test rows) and "spot" (the spot check). Within an account every row has a position, from 0.
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

from clonecost.errors import Advice, LedgerError, RunWorkflow, SetKey
from clonecost.oracle.hash_chain import DIGEST_BYTES, GENESIS, Value, next_link
from clonecost.oracle.input_store import Form, Packed
from clonecost.oracle.record import (
    ACCOUNTS,
    FORMAT,
    SCHEMA,
    Account,
    Record,
    Totals,
    not_a_run,
)
from clonecost.oracle.tensor_codec import decode, encode, row_digests, unpack
from clonecost.persistence.disk import disk_faults
from clonecost.types import Shape, as_pixels

__all__ = ["ACCOUNTS", "Account", "Ledger", "Recorded", "Totals"]


@dataclass(frozen=True)
class Recorded:
    """Settled rows: their digests, 16 bytes a row, and answers (count, K).

    The answers are float64 if they were recorded as float64, else float32.
    """

    digests: bytes
    answers: Tensor


class Ledger(Record):
    """The ledger of one run, open for writing; no second process can open it meanwhile.

    Args:
        path: the SQLite file; created if it does not exist.
        audit: identifies the audit; a file never serves two audits.
        input_shape: shape of one row.
        num_classes: K, the width of an answer.

    Raises:
        LedgerError: the file is damaged, of another audit, in use, or cannot be written.

    Example:
        >>> ledger = Ledger(
        ...     Path("ledger.sqlite"), audit="toy", input_shape=(1, 8, 8), num_classes=3
        ... )  # doctest: +SKIP
        >>> batch = ledger.reserve(
        ...     account="attack", position=0, digests=row_digests(inputs)
        ... )  # doctest: +SKIP
        >>> ledger.settle(batch, victim(inputs))  # doctest: +SKIP
    """

    def __init__(self, path: Path, *, audit: str, input_shape: Shape, num_classes: int) -> None:
        opened = {"format": FORMAT, "audit": audit, "num_classes": num_classes,
                  "input_shape": list(input_shape)}  # fmt: skip
        self._open(path, opened)
        if self.audit != audit:
            self.close()
            raise LedgerError(
                f"{path.parent} holds the record of another audit.",
                SetKey("out"),
                RunWorkflow("resume", path.parent),
            )
        for (batch,) in self._db.execute(
            "SELECT id FROM batches WHERE state = 'reserved'"
        ).fetchall():
            self.lose(batch, "the process ended before the answers arrived")

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Open an existing ledger for writing, whichever audit it belongs to.

        Raises:
            LedgerError: the file does not exist, is damaged, in use, or cannot be written.
        """
        if not path.is_file():
            raise not_a_run(path)
        ledger = cls.__new__(cls)
        ledger._open(path, None)
        return ledger

    def _open(self, path: Path, opened: Mapping[str, Any] | None) -> None:
        """Lock the file, create its tables if it has none yet, and load it."""
        self.path = path
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise LedgerError(
                f"{path.parent} is in use by another process.",
                Advice("wait for that process, or stop it"),
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
        except BaseException:
            self._lock.release()
            raise

    def _load(self) -> None:
        super()._load()
        self._lost = sum(self.totals(account).lost for account in ACCOUNTS)

    # -- writing ---------------------------------------------------------------------------------

    def reserve(self, *, account: Account, position: int, digests: bytes) -> int:
        """Charge a batch; durable when this returns.

        Args:
            position: of the first row, within the account.
            digests: 16 bytes a row, `row_digests(inputs)`.

        Returns:
            The batch's id.
        """
        count = len(digests) // DIGEST_BYTES
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        values = (account, position, count, digests, at)
        with self._transaction():
            cursor = self._db.execute(
                "INSERT INTO batches (account, position, count, digests, at, state) "
                "VALUES (?, ?, ?, ?, ?, 'reserved')",
                values,
            )
            batch = cursor.lastrowid
            assert batch is not None
            self._link("reserved", batch, values)
        return batch

    def settle(
        self, batch: int, answers: Tensor, *, labels_only: bool = False, kept: Packed | None = None
    ) -> None:
        """Complete a batch with its answers, (n, K) on the simplex; durable on return.

        Args:
            labels_only: the answers are one-hot; only the class number is stored (2 bytes a row).
            kept: the packed inputs, if the run keeps them.
        """
        encoding, blob = encode(answers, labels_only)
        form, offset = None, None
        index: tuple[bytes, ...] = ()
        if kept is not None:
            form, index = kept.form, (kept.payload,) if kept.form == "index" else ()
            with disk_faults(self._inputs.path):
                offset = self._inputs.append(kept.payload)
        values = (encoding, blob, form, offset)
        with self._transaction():
            self._db.execute(
                "UPDATE batches SET state = 'settled', encoding = ?, answers = ?, form = ?, "
                "offset = ? WHERE id = ?",
                (*values, batch),
            )
            self._link("settled", batch, (*values, *index))

    def lose(self, batch: int, reason: str, *, unsent: int = 0) -> None:
        """Record a batch as lost: paid, without a usable answer.

        Args:
            unsent: rows of the batch that certainly never reached the victim; not counted.
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
        """Record facts about the run, all or none; a later value replaces an earlier one."""
        texts = {key: str(value) for key, value in facts.items()}
        with self._transaction():
            self._link("noted", content=_as_json(texts))
        self._facts |= texts

    def record_files(self, files: Mapping[str, str]) -> None:
        """Record the digests of all files at the end of the run (see `Record.files`).

        Only the last such event counts, and only if no other event follows it.
        """
        with self._transaction():
            self._link("files", content=_as_json(files))
        self._files, self.finished = dict(files), True

    def _link(
        self, event: str, batch: int | None = None, values: tuple[Value, ...] = (),
        content: str | None = None,
    ) -> None:  # fmt: skip
        self._head = next_link(self._head, (event, batch, content, *values))
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
        """The settled rows from `position` on, at most `count`; None if there are none."""
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
        """Lost rows so far, in all accounts together: paid, without a usable answer."""
        return self._lost

    def bought(self, pool: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All rows that the attack bought: inputs (n, *shape), uint8 or float32, answers (n, K).

        Args:
            pool: (N, *shape), the proxy data, for rows that are kept as indices.

        Raises:
            LedgerError: rows were not kept, there are none, or the pool is not the one that was
                queried.
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
                    f"The inputs of batch {batch} are not those that were sent: the proxy data set "
                    f"or {self._inputs.path.name} has changed.",
                    Advice("restore it from a copy"),
                )
            inputs.append(rows)
            answers.append(decode(encoding, blob, self.num_classes))
        if missing:
            raise LedgerError(
                f"{missing:,} of the rows that were bought were not kept, so they cannot train "
                "another student.",
                RunWorkflow("audit", change=SetKey("keep", "all")),
            )
        if not inputs:
            raise LedgerError(
                f"{self.path} holds no answered rows yet.", RunWorkflow("resume", self.path.parent)
            )
        if len({rows.dtype for rows in inputs}) > 1:  # some batches happened to be 8-bit images
            inputs = [as_pixels(rows) for rows in inputs]
        return torch.cat(inputs), torch.cat(answers)

    def sample_bought(
        self, count: int, rng: torch.Generator, pool: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Randomly drawn rows of the attack, (count, *shape) pixels, and their answers (count, K).

        None if a drawn row was not kept, or comes from a pool that is not given.
        """
        settled = self.totals("attack").settled
        if not settled or not count:
            return None
        inputs, answers = [], []
        for drawn in torch.randint(settled, (count,), generator=rng).tolist():
            batch = self._db.execute(
                "SELECT position, count, encoding, answers, form, offset FROM batches "
                "WHERE account = 'attack' AND state = 'settled' AND position <= ? "
                "AND position + count > ?", (drawn, drawn)
            ).fetchone()  # fmt: skip
            if batch is None or batch[4] is None or (batch[4] == "index" and pool is None):
                return None
            position, rows, encoding, blob, form, offset = batch
            inputs.append(as_pixels(self._rows(form, offset, rows, pool)[drawn - position]))
            answers.append(decode(encoding, blob, self.num_classes)[drawn - position])
        return torch.stack(inputs), torch.stack(answers)

    def _rows(self, form: Form, offset: int, count: int, pool: Tensor | None) -> Tensor:
        """The kept inputs of a batch, (count, *shape)."""
        payload = self._inputs.payload(form, offset, count)
        return unpack(form, payload, self.input_shape, pool)


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)
