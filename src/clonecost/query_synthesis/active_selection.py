"""Which rows are worth asking about, as a student sees them: what active learners share.

All functions see the student in eval mode and restore its mode; inputs are (n, *shape), uint8
0..255 or float32 in [0, 1], on the student's device. Rows go through in chunks; nothing is read
back from the device on the way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clonecost.training.losses import entropy
from clonecost.types import Progress, as_pixels, no_progress

CHUNK = 512  # rows at a time when nothing is learnt: what caches like
OVERSHOOT = 0.02  # of DeepFool: it looks for the next step a little beyond the boundary


@torch.no_grad()
def probabilities(student: nn.Module, inputs: Tensor) -> Tensor:
    """(n, K): the softmax of the student's logits."""
    with _judging(student):
        return torch.cat([student(as_pixels(x)).softmax(1) for x in inputs.split(CHUNK)])


def k_centre(points: Tensor, centres: Tensor, count: int) -> Tensor:
    """(count,) places: each next is the point farthest from all centres and all chosen before it.

    Greedy k-centre: Sener, Savarese, ICLR 2018, https://arxiv.org/abs/1708.00489, algorithm 1. The
    farthest of all is at most twice as far away as with the best choice.

    Args:
        points: (n, d), to choose from, n >= count; NaN counts as 0.
        centres: (m, d), chosen already; m may be 0, then the first point is the first choice.
    """
    points, centres = points.nan_to_num(), centres.nan_to_num()
    nearest = torch.full((len(points),), torch.inf, device=points.device)
    for some in centres.split(1024) if len(centres) else ():
        nearest = torch.minimum(nearest, torch.cdist(points, some).amin(1))
    chosen = []
    for _ in range(count):
        pick = nearest.argmax().view(1)
        chosen.append(pick)
        away = torch.linalg.vector_norm(points - points.index_select(0, pick), dim=1)
        nearest = torch.minimum(nearest, away).index_fill(0, pick, -1.0)  # never again
    return torch.cat(chosen) if chosen else torch.empty(0, dtype=torch.int64, device=points.device)


def boundary_distance(
    student: nn.Module, inputs: Tensor, *, steps: int = 3, rivals: int = 3,
    progress: Progress = no_progress,
) -> Tensor:  # fmt: skip
    """(n,) L2 lengths of DeepFool's way to the nearest boundary of the student's own class.

    Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016, https://arxiv.org/abs/1511.04599, algorithm 2:

        l = argmin_k |f_y - f_k| / |grad f_y - grad f_k|,  and a step of that length towards it

    For a linear student one step is exact. A row that has not crossed after `steps` counts as far
    as it came, one where the student is flat as infinitely far. Pixels are not clipped on the way.

    Args:
        rivals: only so many of the likeliest other classes are measured, as they were at the start.
    """

    def way(x: Tensor) -> Tensor:
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
            inside = (margins > 0).all(1, keepdim=True)  # who has crossed stays
            moved = moved - (length * slope * inside).view_as(x)
        far = torch.linalg.vector_norm(moved.flatten(1), dim=1)
        return torch.where((far == 0) & inside.squeeze(1), torch.inf, far)  # flat: no way out

    return _each_chunk(student, inputs, way, progress)


def entropy_gradients(student: nn.Module, inputs: Tensor) -> Tensor:
    """(n, d): the gradient of each row's entropy of the student's answer, by its d pixels."""

    def slope(x: Tensor) -> Tensor:
        at = x.requires_grad_()
        total = entropy(student(at).softmax(1).clamp_min(1e-30)).sum()
        return torch.autograd.grad(total, at)[0].flatten(1)

    return _each_chunk(student, inputs, slope, no_progress)


def _each_chunk(
    student: nn.Module, inputs: Tensor, what: Callable[[Tensor], Tensor], progress: Progress
) -> Tensor:
    found: list[Tensor] = []
    with _judging(student), torch.enable_grad():
        for chunk in inputs.split(CHUNK):
            found.append(what(as_pixels(chunk).detach().clone()))
            progress("choosing what to ask", min(len(found) * CHUNK, len(inputs)), len(inputs))
    return torch.cat(found)


@contextmanager
def _judging(student: nn.Module) -> Iterator[None]:
    was_training = student.training
    student.eval()
    try:
        yield
    finally:
        student.train(was_training)
