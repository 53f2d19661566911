"""The inputs that a run keeps, in `inputs.bin` beside its ledger, each in its smallest exact form.

A row of the proxy pool is kept as its index (4 bytes), any other image whose values are all k/255
as bytes, and anything else as float32. The ledger holds the offset of each batch; bytes after the
last settled batch (from a crash during a write) are never read.
"""

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from clonecost.errors import Advice, LedgerError
from clonecost.oracle.hash_chain import array_digests
from clonecost.persistence.disk import sync_folder

Form = Literal["index", "uint8", "float32"]
_DTYPES = {"uint8": np.uint8, "float32": np.float32}


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
        """Write at the end and sync. Returns the offset of the payload, in bytes."""
        with self.path.open("ab") as file:
            offset = file.tell()
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if offset == 0:  # the file is new
            sync_folder(self.path.parent)
        return offset

    def payload(self, form: Form, offset: int, count: int) -> bytes:
        """The stored bytes of a batch.

        Raises:
            LedgerError: the file cannot be read, or is too short.
        """
        values = prod(self.shape)
        size = count * {"index": 4, "uint8": values, "float32": 4 * values}[form]
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                payload = file.read(size)
        except OSError as error:
            raise LedgerError(
                f"The kept inputs {self.path} cannot be read: {error}.",
                Advice("restore the file from a copy"),
            ) from error
        if len(payload) != size:
            raise LedgerError(
                f"{self.path} is truncated: kept inputs from byte {offset:,} on are missing.",
                Advice("restore the file from a copy"),
            )
        return payload

    def digests(self, form: Literal["uint8", "float32"], offset: int, count: int) -> bytes:
        """The digests of a batch's rows, as of `tensor_codec.row_digests`.

        Raises:
            LedgerError: the file cannot be read, or is too short.
        """
        values = np.frombuffer(self.payload(form, offset, count), _DTYPES[form])
        return array_digests(values.reshape(count, -1))
