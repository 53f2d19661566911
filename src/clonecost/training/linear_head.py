"""Linear probing: the last layer of a student is fitted to features that are computed once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clonecost.networks.pretrained import Pretrained
from clonecost.training.losses import Loss, kl
from clonecost.training.optimisers import LBFGS
from clonecost.training.read_ahead import batches_of
from clonecost.types import Progress, Rows, as_pixels, no_progress

CHUNK = 64  # rows of a pass through the encoder
STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4)  # of the penalty on the weights, strongest first
STEPS = 60  # of L-BFGS, each strength from the solution of the one before


@torch.no_grad()
def features_of(
    student: Pretrained, inputs: Rows, places: Tensor, progress: Progress = no_progress
) -> Tensor:  # fmt: skip
    """The features of the rows at (m,) places: (m, d) float32, in eval mode; the mode is kept.

    Args:
        inputs: (n, C, H, W), uint8 or pixels in [0, 1], as of `distill`.
    """
    was_training = student.training
    student.eval()
    parts = []
    for _, rows in batches_of(inputs, places.split(CHUNK), places.device):
        parts.append(student.encoder(as_pixels(rows)).float())
        progress("computing features", min(len(parts) * CHUNK, len(places)), len(places))
    student.train(was_training)
    return torch.cat(parts)


def probe_head(
    student: Pretrained, features: Tensor, answers: Tensor, held_out: Tensor,
    strengths: Sequence[float] = STRENGTHS, *, whole: bool = True, loss: Loss = kl,
) -> None:  # fmt: skip
    """Fit the student's head in place: mean loss(W f + b, answers) + c/2 |W|^2.

    c is the strength with the lowest KL on the rows `held_out`. Features are standardised for the
    fit, so that c means the same for every encoder. The problem is convex: random numbers play no
    part.

    Args:
        features: (n, d).
        answers: (n, K), rows on the simplex.
        held_out: (n,) bool; rows that were paid for, as all are. Without any, c is the middle one.
        whole: fit the head to all rows with that c, at the end; else to those not held out, so that
            it can be compared on these.
        loss: of each row; KL(answers || softmax(W f + b)).
    """
    mean, scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    rows = (features - mean) / scale
    strengths = sorted(strengths, reverse=True)
    chosen = strengths[len(strengths) // 2]
    if held_out.any():
        weights, best = _zeros(rows, answers), float("inf")
        for strength in strengths:
            weights = _fitted(rows[~held_out], answers[~held_out], strength, weights, loss)
            found = _mean(kl, weights, rows[held_out], answers[held_out]).item()
            if found < best:
                chosen, best = strength, found
    used = slice(None) if whole else ~held_out
    weights = _fitted(rows[used], answers[used], chosen, _zeros(rows, answers), loss)
    with torch.no_grad():
        slope = weights[:-1] / scale.unsqueeze(1)
        student.head.weight.copy_(slope.T)
        student.head.bias.copy_(weights[-1] - mean @ slope)


def _zeros(rows: Tensor, answers: Tensor) -> Tensor:
    return rows.new_zeros(rows.shape[1] + 1, answers.shape[1])


def _fitted(rows: Tensor, answers: Tensor, strength: float, start: Tensor, loss: Loss) -> Tensor:
    """(d + 1, K): the weights, and the bias as the last row."""
    weights = nn.Parameter(start.clone())
    optimizer = LBFGS([weights], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe")

    def penalised() -> Tensor:
        optimizer.zero_grad()
        total = _mean(loss, weights, rows, answers) + strength / 2 * weights[:-1].square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(penalised)
    return weights.detach()


def _mean(loss: Loss, weights: Tensor, rows: Tensor, answers: Tensor) -> Tensor:
    return loss(torch.addmm(weights[-1], rows, weights[:-1]), answers).mean()
