"""The inputs that a run keeps, in `inputs.bin` beside its ledger: each in its cheapest exact form.

A row of the proxy pool is its index (4 bytes). Otherwise an image whose values are all k/255 is
kept as bytes, and anything else as float32. The ledger knows where each batch begins; bytes after
the last settled batch (a crash in mid-write) are never read.
"""

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from clonecost.errors import LedgerError
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
    """The file, and the shape of one row."""

    path: Path
    shape: tuple[int, ...]

    def append(self, payload: bytes) -> int:
        """Write at the end and sync. Returns where the payload begins."""
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
            LedgerError: the file is gone or too short.
        """
        values = prod(self.shape)
        size = count * {"index": 4, "uint8": values, "float32": 4 * values}[form]
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                payload = file.read(size)
        except OSError as error:
            raise LedgerError(f"the kept inputs {self.path} cannot be read: {error}") from error
        if len(payload) != size:
            raise LedgerError(f"{self.path} is cut short: kept inputs from byte {offset} are gone")
        return payload

    def digests(self, form: Literal["uint8", "float32"], offset: int, count: int) -> bytes:
        """The digests of a batch's rows, as `tensor_codec.row_digests` gives them.

        Raises:
            LedgerError: the file is gone or too short.
        """
        values = np.frombuffer(self.payload(form, offset, count), _DTYPES[form])
        return array_digests(values.reshape(count, -1))
