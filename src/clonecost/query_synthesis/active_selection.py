"""Active selection: scores and choices of rows to query, from a surrogate's answers.

All functions run the student in eval mode and restore its mode; inputs are (n, *shape), uint8
0..255 or float32 in [0, 1], on the student's device, or rows that are read from elsewhere. Rows
are processed in chunks; nothing is copied to the host meanwhile. No query is sent.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor, nn

from clonecost.training.losses import entropy
from clonecost.training.read_ahead import batches_of
from clonecost.types import Progress, Rows, Shape, as_pixels, no_progress

CHUNK = 512  # rows per forward pass outside training: it fits the processor's caches
VALUES = 1 << 24  # values of a chunk of large rows
OVERSHOOT = 0.02  # DeepFool's: each step starts slightly beyond the linearised boundary


@torch.no_grad()
def probabilities(student: nn.Module, inputs: Rows) -> Tensor:
    """The softmax of the student's logits, (n, K)."""
    with _eval_mode(student):
        return torch.cat([student(as_pixels(x)).softmax(1) for x in _chunks(student, inputs)])


def k_centre(points: Tensor, centres: Tensor, count: int) -> Tensor:
    """Indices (count,): each next point is farthest from all centres and all points chosen before.

    Greedy k-centre: Sener, Savarese, ICLR 2018, https://arxiv.org/abs/1708.00489, algorithm 1. The
    largest distance to a centre is at most twice that of the best choice.

    Args:
        points: (n, d), the candidates, n >= count; NaN counts as 0.
        centres: (m, d), already chosen; with m = 0 the first point is the first choice.

    Example:
        >>> k_centre(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.0]]), 2)
        tensor([2, 1])
    """
    points, centres = points.nan_to_num(), centres.nan_to_num()
    nearest = torch.full((len(points),), torch.inf, device=points.device)
    for chunk in centres.split(1024) if len(centres) else ():
        nearest = torch.minimum(nearest, torch.cdist(points, chunk).amin(1))
    chosen = []
    for _ in range(count):
        pick = nearest.argmax().view(1)
        chosen.append(pick)
        distance = torch.linalg.vector_norm(points - points.index_select(0, pick), dim=1)
        nearest = torch.minimum(nearest, distance).index_fill(0, pick, -1.0)  # not chosen twice
    return torch.cat(chosen) if chosen else torch.empty(0, dtype=torch.int64, device=points.device)


def boundary_distance(
    student: nn.Module, inputs: Rows, *, steps: int = 3, rivals: int = 3,
    progress: Progress = no_progress,
) -> Tensor:  # fmt: skip
    """(n,) L2 distances by DeepFool to the nearest boundary of the student's predicted class.

    Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016, https://arxiv.org/abs/1511.04599, algorithm 2:

        l = argmin_k |f_y - f_k| / |grad f_y - grad f_k|,  and a step of that length towards it

    For a linear student one step is exact. A row that has not crossed after `steps` gets the length
    of its path so far, one with zero gradients gets infinity. Pixels are not clipped.

    Args:
        steps: of DeepFool, for every row.
        rivals: number of other classes measured, the most probable ones at the start.
        progress: is called after each chunk, with the rows done and all rows.
    """

    def distance(x: Tensor) -> Tensor:
        with torch.no_grad():
            logits = student(x)
        top = logits.topk(min(rivals + 1, logits.shape[1])).indices
        own, others = top[:, :1], top[:, 1:]
        moved = torch.zeros_like(x)
        inside = torch.ones_like(own, dtype=torch.bool)
        for _ in range(steps):
            at = (x + (1 + OVERSHOOT) * moved).requires_grad_()
            logits = student(at)
            margins = logits.gather(1, own) - logits.gather(1, others)
            slopes = torch.stack(
                [
                    torch.autograd.grad(margin.sum(), at, retain_graph=True)[0].flatten(1)
                    for margin in margins.unbind(1)
                ],
                1,
            )
            margins = margins.detach()
            steep = torch.linalg.vector_norm(slopes, dim=2).clamp_min(1e-12)
            nearest = (margins.abs() / steep).argmin(1, keepdim=True)
            length = margins.gather(1, nearest) / steep.gather(1, nearest) ** 2
            slope = slopes.take_along_dim(nearest.unsqueeze(2), 1).squeeze(1)
            inside = (margins > 0).all(1, keepdim=True)  # a row that has crossed stays
            moved = moved - (length * slope * inside).view_as(x)
        length = torch.linalg.vector_norm(moved.flatten(1), dim=1)
        return torch.where((length == 0) & inside.squeeze(1), torch.inf, length)  # zero gradients

    return _each_chunk(student, inputs, distance, progress)


def entropy_gradients(student: nn.Module, inputs: Rows) -> Tensor:
    """(n, d): the gradient of the entropy of the student's answer to each row, by its d pixels."""

    def slope(x: Tensor) -> Tensor:
        at = x.requires_grad_()
        total = entropy(student(at).softmax(1).clamp_min(1e-30)).sum()
        return torch.autograd.grad(total, at)[0].flatten(1)

    return _each_chunk(student, inputs, slope, no_progress)


def _each_chunk(
    student: nn.Module, inputs: Rows, score: Callable[[Tensor], Tensor], progress: Progress
) -> Tensor:
    scores: list[Tensor] = []
    done = 0
    with _eval_mode(student), torch.enable_grad():
        for chunk in _chunks(student, inputs):
            scores.append(score(as_pixels(chunk).detach().clone()))
            done += len(chunk)
            progress("selecting rows", done, len(inputs))
    return torch.cat(scores)


def rows_at_once(shape: Shape) -> int:
    """How many rows of a shape are handled together, so that large pictures fit into memory.

    Example:
        >>> rows_at_once((3, 32, 32)), rows_at_once((3, 224, 224))
        (512, 111)
    """
    return min(CHUNK, max(16, VALUES // prod(shape)))


def _chunks(student: nn.Module, inputs: Rows) -> Iterator[Tensor]:
    """The rows on the student's device, in their order."""
    on = inputs if isinstance(inputs, Tensor) else next(student.parameters())
    parts = torch.arange(len(inputs)).split(rows_at_once(inputs.shape[1:]))
    for _, rows in batches_of(inputs, parts, on.device):
        yield rows


@contextmanager
def _eval_mode(student: nn.Module) -> Iterator[None]:
    was_training = student.training
    student.eval()
    try:
        yield
    finally:
        student.train(was_training)
