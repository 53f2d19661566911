"""Gradient estimates from function values, for a victim that gives no gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from clonecost.errors import Advice, PrecisionError


def forward_difference(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    directions: int,
    step: float,
    rng: torch.Generator,
    scale_by_dim: bool = True,
) -> Tensor:
    """Estimate df/dx of a per-row function, f: (n, ...) -> (n,).

        g = d/m * sum_i (f(x + step*u_i) - f(x)) / step * u_i ,   u_i uniform on the unit sphere,

    with d values per row and m = `directions`. E[u u'] = I/d makes it unbiased for linear f; its
    cosine with the true gradient is about sqrt(m/d). It evaluates f once, on n * (m + 1) rows with
    the base points first: n * (m + 1) queries when f calls an oracle.

    Args:
        f: (n, ...) -> (n,), each value depending on its own row only.
        x: (n, ...) float32 or float64.
        directions: m, for each row.
        step: length of a step. Each value moves by only step/sqrt(d), so that arithmetic coarser
            than float32 turns the quotient into noise.
        rng: draws the directions, on the device of x.
        scale_by_dim: False leaves out the factor d, as DFME's printed equation does.

    Raises:
        PrecisionError: autocast or TF32 is on, or x has a lower precision.

    Example:
        >>> g = forward_difference(
        ...     lambda x: 3 * x.sum(1), torch.zeros(1, 1), directions=1, step=0.5,
        ...     rng=torch.Generator(),
        ... )
        >>> g  # exact for a linear function of one value
        tensor([[3.]])
    """
    _require_precision(x)
    n, d = len(x), x[0].numel()
    each = (directions, n, *[1] * (x.ndim - 1))
    u = torch.randn(directions, *x.shape, generator=rng, device=x.device, dtype=x.dtype)
    u /= u.flatten(2).norm(dim=2).view(each)
    points = torch.cat([x.unsqueeze(0), x + step * u])  # (m + 1, n, ...)
    values = f(points.flatten(0, 1)).view(directions + 1, n)
    slopes = (values[1:] - values[0]) / step  # (m, n)
    factor = d if scale_by_dim else 1
    return factor / directions * (slopes.view(each) * u).sum(0)


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 off in the block: GPUs since Ampere use it for convolutions by default.

    PyTorch's old and new switches must not be mixed; only the old ones are used.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def _require_precision(x: Tensor) -> None:
    if torch.is_autocast_enabled(x.device.type):
        raise PrecisionError(
            "Finite differences need full float32, and autocast is on",
            Advice("leave autocast outside"),
        )
    if x.dtype not in (torch.float32, torch.float64):
        raise PrecisionError(
            "Finite differences need full float32", Advice("convert the points with `x.float()`"),
            got=x.dtype, want="torch.float32 or torch.float64",
        )  # fmt: skip
    tf32 = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    if x.is_cuda and tf32:
        raise PrecisionError(
            "Finite differences need full float32, and TF32 is on",
            Advice("compute inside `zeroth_order.full_float32()`"),
        )
