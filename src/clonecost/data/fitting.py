"""Fit a data set to a victim's input shape; count the rows that two data sets share."""

import hashlib
from dataclasses import replace
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.errors import Advice, DataError, SetKey
from clonecost.types import LabelledInputs, ProxyData, Rows, Shape

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
CHUNK = 1 << 22  # values converted at a time: 16 MB of float32


def fit(data: LabelledInputs, shape: Shape) -> LabelledInputs:
    """The data set as (n, *shape) uint8 pixels 0..255, `shape` = (C, H, W).

    RGB becomes grey as 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709), and grey becomes RGB by
    repetition. The size changes by antialiased bilinear interpolation. Pixels are rounded to 8
    bits, the precision of a real image API. Data that already fit are returned unchanged.

    Raises:
        DataError: `shape` is not (C, H, W), or the channels cannot be converted.

    Example:
        >>> fit(load("digits", "test"), (3, 32, 32)).shape
        (3, 32, 32)
    """
    must_fit(data.shape, shape, data.name)
    if data.shape == shape and data.inputs.dtype == torch.uint8:
        return data
    return replace(data, inputs=fit_rows(data.inputs, shape))


def fit_rows(inputs: Tensor, shape: Shape) -> Tensor:
    """(n, c, h, w) images that must fit -> (n, *shape) uint8, each row by itself, as `fit` says.

    Example:
        >>> fit_rows(torch.rand(2, 1, 8, 8), (3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    if tuple(inputs.shape[1:]) == tuple(shape) and inputs.dtype == torch.uint8:
        return inputs
    fitted = torch.empty((len(inputs), *shape), dtype=torch.uint8)
    step = _step(inputs, shape)
    for start in range(0, len(inputs), step):
        chunk = inputs[start : start + step]
        fitted[start : start + step] = _fit(chunk, shape).round().clamp_(0, 255)
    return fitted


def _step(inputs: Rows, shape: Shape) -> int:
    """Rows that are converted at a time."""
    return max(1, CHUNK // max(prod(inputs.shape[1:]), prod(shape), 1))


def overlap(proxy: ProxyData, test: LabelledInputs) -> int:
    """The number of rows of `test` that also occur in `proxy`, pixel by pixel, as `test` is shaped.

    If it is above 0, agreement is measured on rows that the student may have been trained on.

    Raises:
        DataError: the proxy cannot be fitted to the test set's shape.

    Example:
        >>> overlap(load("digits", "train"), load("digits", "test"))
        0
    """
    if test.text:
        texts = proxy.inputs[torch.arange(len(proxy))]
        return len(set(_digests(texts)) & set(_digests(test.inputs)))
    must_fit(proxy.shape, test.shape, proxy.name)
    proxy_digests: set[bytes] = set()
    step = _step(proxy.inputs, test.shape)
    for start in range(0, len(proxy), step):
        part = proxy.inputs[start : start + step]
        proxy_digests.update(_digests(fit_rows(part, test.shape)))
    return sum(digest in proxy_digests for digest in _digests(fit(test, test.shape).inputs))


def must_fit(have: Shape, want: Shape, name: str) -> None:
    """Refuse rows of a shape that cannot be fitted to another.

    Raises:
        DataError: as `fit`; its sentence names the data set `name`.
    """
    if len(have) != 3 or len(want) != 3 or min(want) < 1:
        raise DataError(
            f"{name or 'the data set'} with rows {have} cannot be fitted to "
            f"{tuple(want)}: want images, and a shape (C, H, W).",
            SetKey("shape", (3, 32, 32)),
        )
    if have[0] != want[0] and {have[0], want[0]} != {1, 3}:
        raise DataError(
            f"{name or 'the data set'} has another number of channels than the victim, and "
            "only grey (1) and RGB (3) are converted into each other",
            Advice("convert the images, or use another data set"),
            got=have[0],
            want=want[0],
        )


def _fit(inputs: Tensor, shape: Shape) -> Tensor:
    """(n, c, h, w) uint8, or float in [0, 1] -> (n, *shape) float32 in 0..255, not rounded."""
    x = inputs.float() if inputs.dtype == torch.uint8 else inputs.float() * 255
    channels, *size = shape
    if x.shape[1] == 3 and channels == 1:
        x = (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if list(x.shape[2:]) != size:
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    return x.expand(-1, channels, -1, -1)


def _digests(inputs: Tensor) -> list[bytes]:
    rows = inputs.contiguous().cpu().numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
