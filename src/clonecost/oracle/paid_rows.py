"""The paid rows of a ledger as tensors: answers always, inputs where they were kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.data.part_rows import PartRows
from clonecost.errors import Advice, LedgerError, RunWorkflow, SetKey
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.input_store import Form
from clonecost.oracle.kept_rows import Batch, KeptRows
from clonecost.oracle.ledger_schema import Account
from clonecost.oracle.record import Record
from clonecost.oracle.tensor_codec import decode, row_digests, unpack
from clonecost.types import Rows, answered, as_pixels


@dataclass(frozen=True)
class Recorded:
    """Settled rows: their digests, 16 bytes a row, and answers (count, K).

    The answers are float64 if they were recorded as float64, else float32.
    """

    digests: bytes
    answers: Tensor


class PaidRows(Record):
    """A ledger whose rows are read as tensors.

    Example:
        >>> ledger = PaidRows.read(Path("runs/mine/ledger.sqlite"))  # doctest: +SKIP
        >>> inputs, answers = ledger.bought()  # doctest: +SKIP
    """

    @property
    def torn(self) -> bool:
        """Whether kept inputs are missing, as in a copy that was made while the run went on."""
        return bool(self.rows_without_inputs())

    def recorded(self, account: Account, position: int, count: int) -> Recorded | None:
        """The settled rows from `position` on, at most `count`; None if there are none."""
        self._must_fit()
        digests: list[bytes] = []
        answers: list[Tensor] = []
        at, end = position, position + count
        # from the last batch that begins there or before: a run that goes on asks this for each of
        # its batches, and must not read all the earlier ones every time
        for start, rows, digest, encoding, blob in self._db.execute(
            "SELECT position, count, digests, encoding, answers FROM batches WHERE account = ?1 "
            "AND state = 'settled' AND position < ?2 AND position + count > ?3 AND position >= "
            "(SELECT position FROM batches WHERE account = ?1 AND state = 'settled' "
            "AND position <= ?3 ORDER BY position DESC LIMIT 1) ORDER BY position",
            (account, end, position),
        ):
            cut = slice(at - start, min(rows, end - start))
            digests.append(digest[cut.start * DIGEST_BYTES : cut.stop * DIGEST_BYTES])
            answers.append(decode(encoding, blob, self.num_classes)[cut])
            at = start + cut.stop
        return Recorded(b"".join(digests), torch.cat(answers)) if answers else None

    def digests(self, account: Account) -> set[bytes]:
        """The digests of all settled rows of an account."""
        found: set[bytes] = set()
        for (digests,) in self._db.execute(
            "SELECT digests FROM batches WHERE account = ? AND state = 'settled'", (account,)
        ):
            found.update(
                digests[start : start + DIGEST_BYTES]
                for start in range(0, len(digests), DIGEST_BYTES)
            )
        return found

    def asked_places(self) -> Iterator[tuple[int, int]]:
        """Each row that the attack asked from its pool: its number, and its place there.

        Raises:
            LedgerError: the kept inputs are missing.
        """
        for position, count, offset in self._db.execute(
            "SELECT position, count, offset FROM batches WHERE account = 'attack' "
            "AND state = 'settled' AND form = 'index' ORDER BY position"
        ).fetchall():
            payload = self._inputs.payload("index", offset, count)
            yield from enumerate(memoryview(payload).cast("i").tolist(), position)

    def bought(self, pool: Rows | None = None) -> tuple[Tensor, Tensor]:
        """`bought_rows` with all inputs in memory: (n, *shape), uint8 or float."""
        inputs, answers = self.bought_rows(pool)
        return inputs[:], answers

    def bought_rows(self, pool: Rows | None = None) -> tuple[Rows, Tensor]:
        """All rows that the victim answered, read when they are asked for, and answers (n, K).

        Each batch is read once here, and compared with what was sent.

        Args:
            pool: (N, *shape), the proxy data, for rows that are kept as indices.

        Raises:
            LedgerError: rows were not kept, there are none, or the pool is not the one that was
                queried.
        """
        self._must_fit()
        batches: list[Batch] = []
        answers: list[Tensor] = []
        missing = 0
        for batch, count, digests, encoding, blob, form, offset in self._db.execute(
            "SELECT id, count, digests, encoding, answers, form, offset FROM batches "
            "WHERE account = 'attack' AND state = 'settled' ORDER BY position"
        ):
            if form is None:
                missing += count
                continue
            if row_digests(self._rows(form, offset, count, pool)) != digests:
                raise LedgerError(
                    f"The inputs of batch {batch} are not those that were sent: the proxy data set "
                    f"or {self._inputs.path.name} has changed.",
                    Advice("restore it from a copy"),
                )
            batches.append((form, offset, count))
            answers.append(decode(encoding, blob, self.num_classes))
        if missing:
            raise LedgerError(
                f"{missing:,} of the rows that were bought were not kept, so they cannot train "
                "another student.",
                RunWorkflow("audit", change=SetKey("keep", "all")),
            )
        told = answered(torch.cat(answers)) if answers else torch.zeros(0, dtype=torch.bool)
        if not told.any():
            raise LedgerError(
                f"{self.path} holds no answered rows yet.", RunWorkflow("resume", self.path.parent)
            )
        rows = KeptRows.of(self._inputs, batches, pool)
        return PartRows(rows, told.nonzero().flatten()), torch.cat(answers)[told]

    def sent_rows(self, pool: Rows | None = None) -> KeptRows | None:
        """The inputs of all rows of the attack, read when they are asked for.

        None if there are none, or one of them was not kept.

        Raises:
            LedgerError: a pool is needed and missing.
        """
        self._must_fit()
        batches = self._db.execute(
            "SELECT form, offset, count FROM batches WHERE account = 'attack' "
            "AND state = 'settled' ORDER BY position"
        ).fetchall()
        if not batches or any(form is None for form, _, _ in batches):
            return None
        return KeptRows.of(self._inputs, batches, pool)

    def sample_bought(
        self, count: int, rng: torch.Generator, pool: Rows | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Randomly drawn rows of the attack, (count, *shape) pixels, and their answers (count, K).

        Drawn rows that the victim refused are left out. None if none is left, or if a drawn row was
        not kept or comes from a pool that is not given.
        """
        settled = self.totals("attack").settled
        if not settled or not count or self.torn:
            return None
        inputs, answers = [], []
        for drawn in torch.randint(settled, (count,), generator=rng).tolist():
            batch = self._db.execute(
                "SELECT position, count, encoding, answers, form, offset FROM batches "
                "WHERE account = 'attack' AND state = 'settled' AND position <= ? "
                "AND position + count > ? ORDER BY position DESC LIMIT 1", (drawn, drawn)
            ).fetchone()  # fmt: skip
            if batch is None or batch[4] is None or (batch[4] == "index" and pool is None):
                return None
            position, rows, encoding, blob, form, offset = batch
            inputs.append(as_pixels(self._rows(form, offset, rows, pool)[drawn - position]))
            answers.append(decode(encoding, blob, self.num_classes)[drawn - position])
        told = answered(torch.stack(answers))
        return (torch.stack(inputs)[told], torch.stack(answers)[told]) if told.any() else None

    def _rows(self, form: Form, offset: int, count: int, pool: Rows | None) -> Tensor:
        """The kept inputs of a batch, (count, *shape)."""
        payload = self._inputs.payload(form, offset, count)
        return unpack(form, payload, self.input_shape, pool)
