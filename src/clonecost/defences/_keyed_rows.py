"""A number for each row that only the key's owner can compute: the same row, the same number.

Answers that depend on it are consistent (a repeated row gets the same answer), and a resumed run
gets the same answers, because no random state is read.
"""

import hashlib
import os

import torch
from torch import Tensor

from clonecost.errors import Advice, SpecError

FROM_ENVIRONMENT = "env:"


def secret(key: str) -> bytes:
    """The key itself, or the value of the environment variable that `env:NAME` names.

    Raises:
        SpecError: the key is empty, or the variable is not set.
    """
    name = key.removeprefix(FROM_ENVIRONMENT)
    held = os.environ.get(name, "") if name != key else key
    if not held:
        raise SpecError(
            f"The key {key!r} of a defence has no value",
            Advice("set the environment variable" if name != key else "give a word or env:NAME"),
        )
    return hashlib.sha256(held.encode()).digest()


def row_keys(inputs: Tensor, key: bytes, step: float) -> Tensor:
    """One key for each row by keyed BLAKE2b (RFC 7693): (n, ...) -> (n,) int64 on the CPU.

    Args:
        key: at most 64 bytes.
        step: rows that are equal after rounding to multiples of it have the same key, so that a
            change that the model does not see gives no fresh draw.
    """
    whole = torch.nan_to_num(inputs.detach().cpu().double() / step, nan=-(2.0**52)).round().long()
    rows = whole.reshape(len(whole), -1).contiguous().numpy()
    # one call of a C function a row: there is no keyed hash of a batch
    digests = b"".join(hashlib.blake2b(row.data, digest_size=8, key=key).digest() for row in rows)
    return (
        torch.frombuffer(bytearray(digests), dtype=torch.int64)
        if digests
        else torch.empty(0, dtype=torch.int64)
    )
