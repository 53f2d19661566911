"""The ledger: a durable record of every row that was sent, its answer, and their order.

A run has one SQLite file (write-ahead log, every commit synced). A batch is *reserved* before it is
sent and *settled* after its answers arrived. A crash in between leaves a reservation, which becomes
*lost* on the next opening, because the victim may have served and billed it. Rows of a lost batch
that certainly never reached the victim are recorded as unsent and counted nowhere.

Each of these steps is one transaction. Space for the answers is claimed and the inputs are written
before a batch is sent; an outcome that the database cannot take is kept in `ledger.pending`
(`pending`) and recorded by the next step or the next opening. Batches of a victim in this process
may instead be asked within an `allowance`, and several of them recorded in one transaction.

Every event adds a link to a chain of SHA-256 digests (`record`, `hash_chain`), so that a later
change, insertion or deletion is detected. Answers are always kept, inputs on request
(`input_store`).

Rows are counted in *accounts*: "attack" (the price of the clone), "evaluation" (the owner's own
test rows) and "spot" (the spot check). Within an account every row has a position, from 0.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from filelock import BaseFileLock, FileLock, Timeout
from torch import Tensor

from clonecost.errors import Advice, LedgerError, RunError, RunWorkflow, SetKey
from clonecost.oracle import allowance
from clonecost.oracle.allowance import Answered
from clonecost.oracle.event_writer import EventWriter, begin
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.input_store import Form, Packed
from clonecost.oracle.ledger_schema import ACCOUNTS, FORMAT, Account, altered_schema, last_event
from clonecost.oracle.paid_rows import PaidRows, Recorded
from clonecost.oracle.pending import PENDING, Outcome, PendingOutcome
from clonecost.oracle.record import TAKEN_OVER, Totals, not_a_run
from clonecost.oracle.tensor_codec import encode
from clonecost.persistence.disk import disk_faults
from clonecost.persistence.own_files import PRIVATE_FILE, must_be_file
from clonecost.persistence.sqlite_file import close_whole, open_to_write
from clonecost.types import Shape

__all__ = ["ACCOUNTS", "Account", "Answered", "Ledger", "Recorded", "Totals"]


@dataclass(frozen=True)
class _InFlight:
    """A batch that was charged and has no outcome yet.

    Attributes:
        digests: SHA-256 of its rows' digests, 64 hex digits.
        count: its rows.
        form, offset: of its kept inputs in `inputs.bin`; None: they are not kept.
    """

    digests: str
    count: int
    form: Form | None = None
    offset: int | None = None


REASON = 2_000  # characters: of a longer reason the rest is cut


class Ledger(PaidRows):
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

    _lock: BaseFileLock | None = None
    _missing: Set[tuple[int, int]] = frozenset()  # batches whose kept inputs are not in the file
    # lost and refused rows of all accounts; None: to be summed up, after another one
    _unanswered: tuple[int, int] | None = None

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
        try:
            for batch, account, count in self._db.execute(
                "SELECT id, account, count FROM batches WHERE state = 'reserved'"
            ).fetchall():
                unsent = account == "evaluation" and self.fact(TAKEN_OVER) is not None
                self.lose(batch, "the process ended before the answers arrived",
                          unsent=count if unsent else 0)  # fmt: skip
            self.lose_allowed(allowance.ENDED)
        except BaseException:
            self.close()
            raise

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
        self._pending = PendingOutcome(path.with_name(PENDING))
        self._in_flight: dict[int, _InFlight] = {}
        lock = path.with_suffix(".lock")
        with disk_faults(lock):
            must_be_file(lock)
            self._lock = FileLock(lock, mode=PRIVATE_FILE)
            try:
                self._lock.acquire(timeout=1)  # a reader may look at it for a moment
            except Timeout as error:
                raise LedgerError(
                    f"{path.parent} is in use by another process.",
                    Advice("wait for that process, or stop it"),
                ) from error
        try:
            with disk_faults(path):
                self._db = open_to_write(path)
        except BaseException:
            self._lock.release()
            raise
        try:
            with disk_faults(path):
                empty = not self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
                if empty and opened is not None:
                    begin(self._db, path, opened)
                self._load()
                if altered_schema(self._db):  # a trigger would run with every write
                    raise self._altered("it holds other tables than ours")
            self._events = EventWriter(self._db, path, self._inputs)
            self._complete()
            self._missing = set(self.rows_without_inputs())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. Open reservations become lost at the next opening for writing."""
        if self._lock is None:  # it was opened for reading
            super().close()
            return
        try:
            close_whole(self._db)
        finally:
            self._lock.release()

    # -- writing ---------------------------------------------------------------------------------

    def reserve(
        self, *, account: Account, position: int, digests: bytes, kept: Packed | None = None
    ) -> int:
        """Charge a batch; durable when this returns, and then its answers have room on the disk.

        Args:
            position: of the first row, within the account.
            digests: 16 bytes a row, `row_digests(inputs)`.
            kept: the packed inputs, if the run keeps them.

        Returns:
            The batch's id.

        Raises:
            LedgerError: the disk is full, or the ledger in use; nothing is charged.
        """
        self._complete()
        if kept is not None and self.torn:
            raise self._inputs_missing()
        count = len(digests) // DIGEST_BYTES
        with disk_faults(self._pending.path):
            self._pending.claim(count * self.num_classes * 8)  # of a float64
        sent = _InFlight(hashlib.sha256(digests).hexdigest(), count)
        if kept is not None:
            with disk_faults(self._inputs.path):
                sent = replace(sent, form=kept.form, offset=self._inputs.append(kept.payload))
        try:
            with self._events.transaction():
                batch = self._events.reserved(account, position, digests)
        except BaseException:
            self._take_back(sent)
            raise
        self._in_flight[batch] = sent
        return batch

    def settle(
        self, batch: int, answers: Tensor, *, labels_only: bool = False, refused: int = 0,
        reason: str | None = None,
    ) -> None:  # fmt: skip
        """Complete a batch with its answers, (n, K) on the simplex; durable on return.

        Args:
            answers: zeros for a row that the victim refused for good.
            labels_only: the answers are one-hot; only the class number is stored (2 bytes a row).
            refused: rows of zeros.
            reason: the victim's words for the first of them.

        Raises:
            LedgerError: the ledger cannot take the answers; they are kept beside it, and the next
                opening records them.
        """
        encoding, blob = encode(answers, labels_only)
        sent = self._landed(batch)
        words = None if reason is None else _storable(reason)
        values = (encoding, sent.form, sent.offset, refused, words)
        if refused:
            self._unanswered = None
        self._record_or_keep(Outcome(batch, "settled", sent.digests, values, blob), sent.count)

    def lose(self, batch: int, reason: str, *, unsent: int = 0) -> None:
        """Record a batch as lost: paid, without a usable answer.

        Args:
            unsent: rows of the batch that certainly never reached the victim; not counted.
        """
        sent = self._landed(batch)
        values = (_storable(reason), unsent)
        self._unanswered = None
        self._record_or_keep(Outcome(batch, "lost", sent.digests, values), sent.count)
        self._take_back(sent)

    def record(self, batches: Sequence[Answered], *, allowed: int) -> None:
        """Record answered batches, and charge the attack's rows before `allowed`, in one commit.

        These rows may then be asked, and count as reserved until they are recorded. They are the
        rows of a victim in this process, which nobody bills: no room is claimed for their answers.

        Args:
            batches: next to each other, from the first row that is not settled; within an
                allowance.
            allowed: a position; 0: the rest of an earlier allowance was not asked.

        Raises:
            LedgerError: the disk is full, or the ledger in use; nothing is recorded or charged.
        """
        self._complete()
        if self.torn and any(batch.kept for batch in batches):
            raise self._inputs_missing()
        self._facts |= allowance.record(self._events, self._inputs, batches, allowed)

    def lose_allowed(self, reason: str) -> None:
        """Record the rows that are left of the allowance as lost; durable on return."""
        settled = self.totals("attack").settled
        if rows := allowance.left(self._facts, settled):
            if rows > allowance.MOST:
                raise self._altered("no run allows so many rows at once")
            self._unanswered = None
            words = _storable(reason)
            self._facts |= allowance.lose(self._events, settled, rows, words)

    def charge_lost(self, *, account: Account, position: int, digests: bytes, reason: str) -> None:
        """Charge rows that are lost already, because they are sent again; durable on return.

        Raises:
            LedgerError: the disk is full, or the ledger in use; nothing is charged.
        """
        self._complete()
        self._unanswered = None
        with self._events.transaction():
            batch = self._events.reserved(account, position, digests)
            self._events.completed(Outcome(batch, "lost", "", (_storable(reason), 0)))

    def restore_inputs(self, position: int, count: int, packed: Callable[[slice], Packed]) -> None:
        """Write kept inputs that are missing, from rows of the attack that are asked again.

        Args:
            position: of the first of the `count` rows.
            packed: the packed inputs of some of these rows.

        Raises:
            LedgerError: the disk is full.
        """
        for start, rows, form, offset in self._db.execute(
            "SELECT position, count, form, offset FROM batches WHERE account = 'attack' "
            "AND form IS NOT NULL AND position >= ?1 AND position < ?2 AND position + count <= ?2",
            (position, position + count),
        ).fetchall():
            part = packed(slice(start - position, start - position + rows))
            if part.form == form and (start, rows) in self._missing:
                with disk_faults(self._inputs.path):
                    self._inputs.put(offset, part.payload)
                self._missing -= {(start, rows)}

    @property
    def torn(self) -> bool:
        """As in a ledger for reading; here `restore_inputs` may have mended it."""
        return bool(self._missing)

    def _inputs_missing(self) -> LedgerError:
        first, rows = min(self._missing), sum(count for _, count in self._missing)
        return LedgerError(
            f"{self._inputs.path} lacks the inputs of {rows:,} rows of the attack, from row "
            f"{first[0]:,} on: the folder was copied while the run went on.",
            RunWorkflow("export", self.path.parent),
        )

    # -- the outcome of a batch ------------------------------------------------------------------

    def _landed(self, batch: int) -> _InFlight:
        """What `reserve` knew of a batch; of one of another session, from the table."""
        if sent := self._in_flight.pop(batch, None):
            return sent
        digests, count = self._db.execute(
            "SELECT digests, count FROM batches WHERE id = ?", (batch,)
        ).fetchone()
        return _InFlight(hashlib.sha256(digests).hexdigest(), count)

    def _record_or_keep(self, outcome: Outcome, rows: int) -> None:
        """Record an outcome, else keep it beside the ledger; the failure is raised in any case."""
        try:
            with self._events.transaction():
                self._events.completed(outcome)
        except BaseException as error:
            self._keep(outcome, rows, error)
            raise

    def _keep(self, outcome: Outcome, rows: int, error: BaseException) -> None:
        """Write an outcome beside the ledger, which could not take it.

        Raises:
            LedgerError: that fails as well.
        """
        try:
            self._pending.keep(outcome)
        except (OSError, RunError) as second:
            raise LedgerError(
                f"{self.path} and {self._pending.path.name} beside it cannot be written ({second});"
                f" the last {rows:,} rows may count as lost. All earlier answers are kept.",
                Advice("check the disk"),
                RunWorkflow("resume", self.path.parent),
            ) from error

    def _complete(self) -> None:
        """Record the outcome that could not be recorded before, if there is one.

        Raises:
            LedgerError: it still cannot be recorded.
        """
        with disk_faults(self._pending.path):
            outcome = self._pending.read()
            if outcome is None:
                return
        found = self._db.execute(
            "SELECT digests, state FROM batches WHERE id = ?", (outcome.batch,)
        ).fetchone()
        # else it was recorded, although the database reported a failure, or is of another record
        fits = found and hashlib.sha256(found[0]).hexdigest() == outcome.digests
        if fits and found[1] == "reserved":
            self._unanswered = None
            with self._events.transaction():
                self._events.completed(outcome)
        with disk_faults(self._pending.path):
            self._pending.clear()

    def _take_back(self, sent: _InFlight) -> None:
        if sent.offset is not None:
            self._inputs.take_back(sent.offset)

    # -- facts and files -------------------------------------------------------------------------

    def note(self, **facts: str | float) -> None:
        """Record facts about the run, all or none; a later value replaces an earlier one."""
        texts = {key: str(value) for key, value in facts.items()}
        self._complete()
        self._events.told("noted", texts)
        self._facts |= texts

    def record_files(self, files: Mapping[str, str]) -> None:
        """Record the digests of all files at the end of the run (see `Record.files`).

        Only the last such event counts, and only if no other event follows it.
        """
        self._complete()
        self._events.told("files", files)
        self._files = dict(files)
        with suppress(OSError):  # nothing is in flight any more
            self._pending.delete()

    def _last(self) -> tuple[str, bytes]:
        """The last event now, and its link."""
        with disk_faults(self.path):
            return last_event(self._db)

    @property
    def lost(self) -> int:
        """Lost rows so far, in all accounts together: paid, without a usable answer."""
        return self._without_answer()[0]

    @property
    def refused(self) -> int:
        """Rows so far, in all accounts together, that the victim refused for good."""
        return self._without_answer()[1]

    def _without_answer(self) -> tuple[int, int]:
        if self._unanswered is None:
            totals = [self.totals(account) for account in ACCOUNTS]
            self._unanswered = sum(one.lost for one in totals), sum(one.refused for one in totals)
        return self._unanswered


def _storable(reason: str) -> str:
    """A victim's words as the file can hold them: cut, and without lone surrogates."""
    return reason[:REASON].encode("utf-8", "backslashreplace").decode()[:REASON]
