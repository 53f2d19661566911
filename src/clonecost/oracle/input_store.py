"""The inputs that a run keeps, in `inputs.bin` beside its ledger, each in its smallest exact form.

A row of the proxy pool is kept as its index (4 bytes), any other image whose values are all k/255
as bytes, and anything else as it was sent, in float32 or float64. The ledger holds the offset of
each batch. The inputs of a batch are written before it is sent, so that a full disk is noticed
while nothing is paid; bytes of a batch that was not settled are never read.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import Advice, LedgerError
from clonecost.oracle.hash_chain import array_digests
from clonecost.persistence.disk import sync_folder
from clonecost.persistence.own_files import must_be_file, open_file, write_all

Form = Literal["index", "uint8", "float32", "float64"]
_DTYPES = {"uint8": np.uint8, "float32": np.float32, "float64": np.float64}


@dataclass(frozen=True)
class Packed:
    """A batch of inputs as bytes; `tensor_codec` packs and unpacks them."""

    form: Form
    payload: bytes


@dataclass(frozen=True)
class KeptInputs:
    """The file of the kept inputs, and the shape of one row."""

    path: Path
    shape: tuple[int, ...]

    def append(self, payload: bytes) -> int:
        """Write at the end and sync. Returns the offset of the payload, in bytes.

        Raises:
            OSError: the disk has no room; the file is as before.
        """
        descriptor = open_file(self.path, os.O_RDWR | os.O_CREAT)
        try:
            offset = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                write_all(descriptor, payload)
                os.fsync(descriptor)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(descriptor, offset)
                raise
        finally:
            os.close(descriptor)
        if offset == 0:  # the file is new
            sync_folder(self.path.parent)
        return offset

    def take_back(self, offset: int) -> None:
        """Cut the file off at `offset`: the inputs of a batch that was lost are of no use."""
        with suppress(OSError):  # they would only take space
            descriptor = open_file(self.path, os.O_RDWR)
            try:
                os.ftruncate(descriptor, offset)
            finally:
                os.close(descriptor)

    def size(self) -> int:
        """The size of the file in bytes; 0 if there is none.

        Raises:
            RunError: a link or device has its name.
        """
        return self.path.stat().st_size if must_be_file(self.path) else 0

    def put(self, offset: int, payload: bytes) -> None:
        """Write missing inputs in their place; durable on return.

        Raises:
            OSError: the disk has no room.
        """
        descriptor = open_file(self.path, os.O_RDWR | os.O_CREAT)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            write_all(descriptor, payload)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def size_of(self, form: Form, count: int) -> int:
        """The number of bytes that `count` rows take."""
        values = prod(self.shape)
        return (
            count
            * {"index": 4, "uint8": values, "float32": 4 * values, "float64": 8 * values}[form]
        )

    def payload(self, form: Form, offset: int, count: int) -> bytes:
        """The stored bytes of a batch.

        Raises:
            LedgerError: the file cannot be read, or is too short.
        """
        return bytes(self.rows(form, np.full(count, offset), np.arange(count)))

    def rows(self, form: Form, offsets: NDArray[np.int64], numbers: NDArray[np.int64]) -> bytearray:
        """The stored bytes of rows, one after the other.

        Args:
            offsets: (m,) of the batch of each.
            numbers: (m,) of each within its batch.

        Raises:
            LedgerError: the file cannot be read, or is too short.
        """
        size = self.size_of(form, 1)
        starts = offsets + numbers * size
        breaks = np.flatnonzero(np.diff(starts) != size) + 1  # neighbours are read at once
        runs = np.split(starts, breaks) if len(starts) else []
        try:
            with os.fdopen(open_file(self.path, os.O_RDONLY), "rb", buffering=0) as file:
                end = int(starts.max(initial=-size)) + size
                if end > os.fstat(file.fileno()).st_size:  # before memory is taken
                    raise self._truncated(int(starts.max()))
                found = bytearray(size * len(starts))
                view, at = memoryview(found), 0
                for run in runs:
                    file.seek(int(run[0]))
                    wanted = at + size * len(run)
                    while at < wanted:  # a system may read only a part at once
                        read = file.readinto(view[at:wanted])
                        if not read:
                            raise self._truncated(int(run[0]))
                        at += read
        except OSError as error:
            raise LedgerError(
                f"The kept inputs {self.path} cannot be read: {error}.",
                Advice("restore the file from a copy"),
            ) from error
        return found

    def _truncated(self, start: int) -> LedgerError:
        return LedgerError(
            f"{self.path} is truncated: kept inputs from byte {start:,} on are missing.",
            Advice("restore the file from a copy"),
        )

    def digests(
        self, form: Literal["uint8", "float32", "float64"], offset: int, count: int
    ) -> bytes:
        """The digests of a batch's rows, as of `tensor_codec.row_digests`.

        Raises:
            LedgerError: the file cannot be read, or is too short.
        """
        values = np.frombuffer(self.payload(form, offset, count), _DTYPES[form])
        return array_digests(values.reshape(count, -1))
