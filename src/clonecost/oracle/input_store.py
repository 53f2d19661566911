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

import torch
from torch import Tensor

from clonecost.errors import LedgerError
from clonecost.persistence.disk import sync_folder
from clonecost.types import Shape, as_pixels

Form = Literal["index", "uint8", "float32"]


@dataclass(frozen=True)
class Packed:
    form: Form
    payload: bytes


def pack(inputs: Tensor, index: Tensor | None) -> Packed:
    """(n, *shape) contiguous float32 on the CPU, and their (n,) rows in the pool they come from."""
    if index is not None:
        return Packed("index", index.to(torch.int32).numpy().tobytes())
    # the first row almost always tells, and is tested in no time
    if _as_bytes(inputs[:1]) is not None and (as_bytes := _as_bytes(inputs)) is not None:
        return Packed("uint8", as_bytes.numpy().tobytes())
    return Packed("float32", inputs.numpy().tobytes())


def _as_bytes(inputs: Tensor) -> Tensor | None:
    """The 8-bit image behind `inputs`; None when some value is no k/255."""
    as_bytes = inputs.mul(255).round_().to(torch.uint8)
    return as_bytes if torch.equal(as_pixels(as_bytes), inputs) else None


@dataclass(frozen=True)
class KeptInputs:
    path: Path
    shape: Shape

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

    def rows(self, form: Form, offset: int, count: int, pool: Tensor | None) -> Tensor:
        """A batch as it was sent, (count, *shape); uint8 where it was an 8-bit image.

        Args:
            pool: (N, *shape), in which rows kept as indices are looked up.
        """
        payload = bytearray(self.payload(form, offset, count))
        if form == "index":
            if pool is None:
                raise LedgerError("this run asked rows of a proxy data set, which is needed here")
            index = torch.frombuffer(payload, dtype=torch.int32).long()
            if int(index.max()) >= len(pool):
                raise LedgerError("the proxy data set is smaller than the one that was asked from")
            return pool[index]
        dtype = torch.uint8 if form == "uint8" else torch.float32
        return torch.frombuffer(payload, dtype=dtype).view(count, *self.shape)
