"""Tensors as the bytes of a ledger, and back: inputs, their digests, and answers."""

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.errors import LedgerError, SetKey
from clonecost.oracle.hash_chain import array_digests
from clonecost.oracle.input_store import Form, Packed
from clonecost.types import Rows, Shape, answered, as_pixels

LABELS = 2**15  # classes whose numbers two bytes hold, with -1; of more, one-hot rows are kept
_FLOATS = {"float32": torch.float32, "float64": torch.float64}
DTYPES = {**_FLOATS, "uint8": torch.uint8}  # of inputs, by their form


def row_digests(inputs: Tensor, threads: int = 1) -> bytes:
    """The digest of each row as it is sent, one after the other: (n, ...) -> 16 n bytes."""
    return array_digests(as_pixels(inputs).cpu().contiguous().numpy(), threads)


def encode(answers: Tensor, labels_only: bool) -> tuple[str, bytes]:
    """(n, K) answers as (encoding, bytes): two bytes a row for labels of up to 32,768 classes.

    A refused row, of zeros, has the label -1.
    """
    if labels_only and answers.shape[1] <= LABELS:
        labels = torch.where(answered(answers), answers.argmax(1), -1)
        return "label", labels.to("cpu", torch.int16).numpy().tobytes()
    # equation solving on tables needs digits that float32 does not hold
    kind = "float64" if answers.dtype == torch.float64 else "float32"
    return kind, answers.detach().to("cpu", _FLOATS[kind]).contiguous().numpy().tobytes()


def decode(encoding: str, blob: bytes, num_classes: int) -> Tensor:
    """The (n, K) answers that `encode` wrote."""
    if encoding == "label":
        labels = torch.frombuffer(bytearray(blob), dtype=torch.int16)
        classes = torch.where(labels == -1, 0, labels).long()
        return F.one_hot(classes, num_classes).float() * (labels != -1)[:, None]
    return torch.frombuffer(bytearray(blob), dtype=_FLOATS[encoding]).view(-1, num_classes)


def pack(inputs: Tensor, index: Tensor | None) -> Packed:
    """Inputs in their smallest exact form.

    Args:
        inputs: (n, *shape), contiguous float32 or float64 on the CPU.
        index: (n,) rows of the proxy pool, if the inputs come from it.
    """
    if index is not None:
        return Packed("index", index.to(torch.int32).numpy().tobytes())
    if inputs.dtype == torch.float64:  # its digests are of float64
        return Packed("float64", inputs.numpy().tobytes())
    # the first row almost always decides, and its test is cheap
    if _as_bytes(inputs[:1]) is not None and (as_bytes := _as_bytes(inputs)) is not None:
        return Packed("uint8", as_bytes.numpy().tobytes())
    return Packed("float32", inputs.numpy().tobytes())


def unpack(form: Form, payload: bytes | bytearray, shape: Shape, pool: Rows | None) -> Tensor:
    """A batch as it was sent, (count, *shape): uint8 for 8-bit images, else as sent.

    Args:
        payload: the bytes of `Packed`; of a bytearray the result is a view.
        pool: (N, *shape), the proxy data, for rows that are kept as indices.

    Raises:
        LedgerError: the pool is needed and missing, or too small.
    """
    own = payload if isinstance(payload, bytearray) else bytearray(payload)
    if form != "index":
        return torch.frombuffer(own, dtype=DTYPES[form]).view(-1, *shape)
    if pool is None:
        raise LedgerError(
            "The run queried rows of a proxy data set, which is missing", SetKey("proxy")
        )
    index = torch.frombuffer(own, dtype=torch.int32).long()
    if int(index.max()) >= len(pool):
        raise LedgerError(
            "The proxy data set is not the one that was queried", SetKey("proxy"),
            got=f"{len(pool):,} rows", want=f"at least {int(index.max()) + 1:,}",
        )  # fmt: skip
    return pool[index].cpu()


def _as_bytes(inputs: Tensor) -> Tensor | None:
    """`inputs` as 8-bit images; None when some value is no k/255."""
    as_bytes = inputs.mul(255).round_().to(torch.uint8)
    return as_bytes if torch.equal(as_pixels(as_bytes), inputs) else None
