"""The outcome of the batch in flight, for the case that the ledger cannot take it.

A full disk must not cost answers that were paid for. Before a batch is sent, `PendingOutcome.claim`
makes the file `ledger.pending` long enough for its answers. If the ledger then cannot record the
outcome (no space, a fault of the disk, another program that holds it), the outcome is written into
that file in place, which needs no new space. The next opening of the ledger records it and clears
the file.

    magic (8 bytes), sizes of header and answers (8 + 8), SHA-256 of both (32), header, answers

A file whose digest does not match holds no outcome. Needs no torch.
"""

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clonecost.persistence.disk import sync_folder
from clonecost.persistence.own_files import must_be_file, open_file, write_all

PENDING = "ledger.pending"
_MAGIC, _PREFIX = b"pending1", struct.Struct(">8sQQ32s")
_HEADER_BYTES = 16_384  # at most, the reason of a loss included
_STEP = 65_536  # the file grows in steps


@dataclass(frozen=True)
class Outcome:
    """The outcome of one batch.

    Attributes:
        batch: its id.
        event: "settled" or "lost".
        digests: SHA-256 of the batch's digests, 64 hex digits: an outcome fits one batch only.
        values: the values of the event but the answers: JSON.
        answers: the encoded answers; empty for a lost batch.
    """

    batch: int
    event: str
    digests: str
    values: tuple[Any, ...]
    answers: bytes = b""


@dataclass(frozen=True)
class PendingOutcome:
    """The file beside a ledger.

    Example:
        >>> pending = PendingOutcome(Path("runs/mine/ledger.pending"))  # doctest: +SKIP
        >>> pending.claim(4_000)  # doctest: +SKIP
    """

    path: Path

    def claim(self, answer_bytes: int) -> None:
        """Make sure that an outcome with that many bytes of answers fits, durably.

        Raises:
            OSError: the disk has no room.
        """
        need = -(-(_PREFIX.size + _HEADER_BYTES + answer_bytes) // _STEP) * _STEP
        descriptor = open_file(self.path, os.O_RDWR | os.O_CREAT)
        try:
            size = os.fstat(descriptor).st_size
            if size >= need:
                return
            os.lseek(descriptor, size, os.SEEK_SET)
            # zeros and no hole: only bytes that were written once have their place on the disk
            while size < need:
                part = bytes(min(need - size, 1 << 20))
                write_all(descriptor, part)
                size += len(part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self.path.parent)

    def keep(self, outcome: Outcome) -> None:
        """Write an outcome in place; durable on return.

        Raises:
            OSError: the disk fails.
        """
        header = json.dumps(
            [outcome.batch, outcome.event, outcome.digests, list(outcome.values)]
        ).encode()
        content = header + outcome.answers
        prefix = _PREFIX.pack(
            _MAGIC, len(header), len(outcome.answers), hashlib.sha256(content).digest()
        )
        self._overwrite(prefix + content)

    def clear(self) -> None:
        """Forget the outcome; the space stays claimed.

        Raises:
            OSError: the disk fails.
        """
        if must_be_file(self.path):
            self._overwrite(bytes(_PREFIX.size))

    def delete(self) -> None:
        """Give the space back.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.unlink(missing_ok=True)

    def read(self) -> Outcome | None:
        """The outcome that the file holds; None if it holds none.

        Raises:
            OSError: the file cannot be read.
        """
        if not must_be_file(self.path):
            return None
        with os.fdopen(open_file(self.path, os.O_RDONLY), "rb") as file:
            prefix = file.read(_PREFIX.size)
            if len(prefix) < _PREFIX.size:
                return None
            magic, header_bytes, answer_bytes, digest = _PREFIX.unpack(prefix)
            rest = os.fstat(file.fileno()).st_size - _PREFIX.size
            if (
                magic != _MAGIC
                or header_bytes > _HEADER_BYTES
                or header_bytes + answer_bytes > rest
            ):
                return None
            content = file.read(header_bytes + answer_bytes)
        if hashlib.sha256(content).digest() != digest:
            return None
        batch, event, digests, values = json.loads(content[:header_bytes])
        return Outcome(batch, event, digests, tuple(values), content[header_bytes:])

    def _overwrite(self, content: bytes) -> None:
        descriptor = open_file(self.path, os.O_WRONLY)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
