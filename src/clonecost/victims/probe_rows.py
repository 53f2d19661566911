"""A few varied rows, on which a local victim is asked before an audit; they cost nothing."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from clonecost.types import Feature, Shape

PROBES = 16
WIDEST = 1e6  # the range of a feature that states none ends far outside of what a model was fit on


def probe_rows(shape: Shape, features: Sequence[Feature] | None = None) -> Tensor:
    """(16, *shape) rows in range: noise of several strengths, black, grey and white.

    The rows of a table are drawn from its features' ranges.
    """
    rng = torch.Generator().manual_seed(0)
    rows = torch.rand(PROBES, *shape, generator=rng)
    if features:
        return _of_table(rows, features)
    rows[8:12] = rows[8:12].round()  # black and white pixels
    rows[12] = 0.45 + rows[12] / 10  # hardly any contrast
    for k, shade in enumerate((0.0, 0.5, 1.0)):
        rows[13 + k] = shade
    return rows


def far_rows(shape: Shape, features: Sequence[Feature] | None = None) -> Tensor:
    """(8, *shape) rows far out of range: a sigmoid stays between 0 and 1 on them.

    Categories stay what they are.
    """
    rng = torch.Generator().manual_seed(1)
    scale = torch.tensor([10.0, 100.0, 1000.0, 10_000.0]).repeat(2)
    noise = torch.randn(8, *shape, generator=rng) * scale.view(-1, *[1] * len(shape))
    if features:
        near = probe_rows(shape, features)[:8]
        numbers = torch.tensor([not feature.categories for feature in features])
        return torch.where(numbers, noise, near)
    return noise


def _of_table(rows: Tensor, features: Sequence[Feature]) -> Tensor:
    columns = []
    for column, feature in zip(rows.unbind(1), features, strict=True):
        if feature.categories:
            columns.append((column * len(feature.categories)).floor())
        elif feature.high - feature.low > WIDEST:
            columns.append(4 * column - 2)
        else:
            columns.append(feature.low + column * (feature.high - feature.low))
    return torch.stack(columns, 1)


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Give the default generators of torch, NumPy and Python their state back, so that a model that
    draws numbers on rows of our own changes no audit.

    Example:
        >>> with unchanged_generators():
        ...     scores = model(probe_rows((1, 8, 8)))
    """
    # a model may be on another GPU than its rows; where CUDA is not in use nothing is started
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    of_numpy, of_python = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)
