"""Texts as rows: UTF-8 bytes, filled up with zeros to one length, so that a row has a shape.

    "cat"  ->  63 61 74 00 00      uint8, for a longest text of 5 bytes

Such a row travels like an 8-bit image of the shape (bytes,): as float32 b/255 to the oracle, which
digests, keeps and replays it as any other, and to the victim, which decodes it. A zero byte is in
no text. The length is the same for a whole audit and part of its identity, so that the digest of a
text does not change within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the report decodes texts, and needs no torch
    from torch import Tensor

from clonecost.errors import Advice, DataError, QueryError, SetKey

_CONTINUES = 0xC0, 0x80  # mask and value of a byte that continues a character


def clean(text: str) -> str:
    """The text as it can be sent: a zero character and a lone surrogate become a question mark.

    Example:
        >>> clean("a\\0b")
        'a?b'
    """
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def bytes_of(texts: Iterable[str]) -> int:
    """The bytes that the longest of the texts takes; at least 1.

    Example:
        >>> bytes_of(["cat", "€"])
        3
    """
    return max(1, max((len(text.encode()) for text in texts), default=1))


def encode(texts: Sequence[str], length: int, *, cut: bool = False) -> Tensor:
    """Texts as rows, (n, length) uint8.

    Args:
        length: bytes of a row.
        cut: a longer text is cut after its last whole character that fits; else it is refused.

    Raises:
        DataError: a text is longer than `length` bytes.

    Example:
        >>> encode(["cat", ""], 5).tolist()
        [[99, 97, 116, 0, 0], [0, 0, 0, 0, 0]]
    """
    import torch

    found = [text.encode() for text in texts]
    longest = max((len(one) for one in found), default=0)
    if longest > length and not cut:
        row = next(k for k, one in enumerate(found) if len(one) > length)
        raise DataError(
            f"The text in row {row + 1:,} is longer than the API takes", SetKey("longest", longest),
            Advice("leave the row out"), got=f"{len(found[row]):,} bytes", want=f"{length:,}",
        )  # fmt: skip
    if longest > length:
        found = [one[:length].decode("utf-8", "ignore").encode() for one in found]
    rows = np.array(found, dtype=f"S{length}").view(np.uint8).reshape(len(found), length)
    return torch.from_numpy(rows)


def decode(rows: Tensor) -> list[str]:
    """The texts of (n, length) rows, uint8 or float32 b/255.

    Raises:
        UnicodeDecodeError: a row is no text.

    Example:
        >>> decode(encode(["cat", "€"], 8))
        ['cat', '€']
    """
    return decode_array(_as_bytes(rows).cpu().numpy())


def decode_array(rows: NDArray[np.uint8], errors: str = "strict") -> list[str]:
    """The texts of (n, length) uint8 rows; `errors` as of `bytes.decode`."""
    if not rows.size:
        return [""] * len(rows)
    packed = np.ascontiguousarray(rows).view(f"S{rows.shape[1]}").reshape(len(rows))
    # NumPy leaves the zeros at the end out
    return [text.decode(errors=errors) for text in packed.tolist()]


def characters(rows: Tensor) -> int:
    """The characters of all rows together, (n, length) uint8 or float32 b/255.

    Example:
        >>> characters(encode(["cat", "€"], 8))
        4
    """
    found = _as_bytes(rows)
    mask, value = _CONTINUES
    return int(((found != 0) & ((found & mask) != value)).sum())


def must_be_texts(rows: Tensor) -> None:
    """Refuse (n, length) float32 rows that are no texts.

    Raises:
        QueryError: a value is no byte, a zero stands within a text, or the bytes are no UTF-8.
    """
    import torch

    advice = Advice("make rows with `clonecost.data.text_rows.encode`")
    found = _as_bytes(rows)
    if not torch.equal(found.float().div_(255), rows):
        raise QueryError("The inputs are no texts: a value is no byte", advice,
                         want="bytes of UTF-8, divided by 255")  # fmt: skip
    if bool(((found[:, 1:] > 0) & (found[:, :-1] == 0)).any()):
        raise QueryError("The inputs are no texts: a zero stands within one", advice)
    try:
        decode_array(found.cpu().numpy())
    except UnicodeDecodeError as error:
        raise QueryError(f"The inputs are no texts: {error}", advice) from error


def _as_bytes(rows: Tensor) -> Tensor:
    import torch

    return rows if rows.dtype == torch.uint8 else rows.mul(255).round_().to(torch.uint8)
