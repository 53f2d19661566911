"""What a ledger writes, in bytes: digests of rows, answers, and the chain over every event."""

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.types import as_pixels

DIGEST_BYTES = 16  # of one row: BLAKE2b-128
GENESIS = bytes(32)


def row_digests(inputs: Tensor) -> bytes:
    """BLAKE2b-128 of each row as float32, one after the other: (n, ...) -> 16 n bytes."""
    flat = as_pixels(inputs).cpu().contiguous().numpy().data.cast("B")
    step = len(flat) // len(inputs)
    return b"".join(
        hashlib.blake2b(flat[at : at + step], digest_size=DIGEST_BYTES).digest()
        for at in range(0, len(flat), step)
    )


def next_link(head: bytes, batch: int, event: str, said: bytes) -> bytes:
    """The chain's next digest: SHA-256 over the last one and all that an event says."""
    return hashlib.sha256(head + f"{batch}|{event}|".encode() + said).digest()


def asked(account: str, position: int, count: int, digests: bytes) -> bytes:
    """What a reservation says."""
    return f"{account}|{position}|{count}|".encode() + digests


def gone(reason: str, unsent: int) -> bytes:
    """What a loss says."""
    return (f"{unsent} unsent|{reason}" if unsent else reason).encode()


def answered(
    encoding: str, answers: bytes, form: str | None, offset: int | None, index: bytes
) -> bytes:
    """What a settlement says."""
    return f"{encoding}|{form}|{offset}|{len(answers)}|".encode() + answers + index


def encode(answers: Tensor, labels_only: bool) -> tuple[str, bytes]:
    """(n, K) answers as (encoding, bytes): two bytes a row if they are labels only."""
    if labels_only:
        return "label", answers.argmax(1).to("cpu", torch.int16).numpy().tobytes()
    # a table's exact attacks live on digits that float32 does not hold
    kind = "float64" if answers.dtype == torch.float64 else "float32"
    return kind, answers.detach().to("cpu", _FLOATS[kind]).contiguous().numpy().tobytes()


def decode(encoding: str, blob: bytes, num_classes: int) -> Tensor:
    """The (n, K) answers that `encode` wrote."""
    if encoding == "label":
        labels = torch.frombuffer(bytearray(blob), dtype=torch.int16)
        return F.one_hot(labels.long(), num_classes).float()
    return torch.frombuffer(bytearray(blob), dtype=_FLOATS[encoding]).view(-1, num_classes)


_FLOATS = {"float32": torch.float32, "float64": torch.float64}
