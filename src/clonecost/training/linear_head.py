"""Linear probing: the last layer of a student is fitted to features that are computed once.

Two losses are tried, and held-out rows decide: KL, and the squared error of log-ratios, which
weighs the classes that the victim holds for unlikely as much as the likely one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clonecost.networks.pretrained import Pretrained
from clonecost.training.log_ratio_head import by_log_ratios
from clonecost.training.losses import Loss, floor_of, kl
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
    fit = _Probe(features, answers, held_out, loss)
    strengths = sorted(strengths, reverse=True)
    chosen, weights, _ = fit.chosen(strengths)
    fit.write(student, fit.of_all(chosen) if whole or weights is None else weights)


def best_head(
    student: Pretrained, features: Tensor, answers: Tensor, held_out: Tensor, *, whole: bool = True
) -> None:
    """Fit the student's head in place by that loss which does better on the rows `held_out`.

    Args: as of `probe_head`. Labels, and answers of which none is held out, are fitted by KL.
    """
    if not held_out.any() or bool((answers.amax(1) == 1).all()):
        probe_head(student, features, answers, held_out, whole=whole)
        return
    fit = _Probe(features, answers, held_out, kl)
    strength, weights, by_kl = fit.chosen(STRENGTHS)
    floor = floor_of(answers)
    head = by_log_ratios(features[~held_out], answers[~held_out], floor)
    logits = head.logits(features[held_out].cpu()).to(answers)
    if kl(logits, answers[held_out]).mean().item() < by_kl:
        head = by_log_ratios(features, answers, floor) if whole else head
        with torch.no_grad():
            student.head.weight.copy_(head.weight)
            student.head.bias.copy_(head.bias)
        return
    fit.write(student, fit.of_all(strength) if whole or weights is None else weights)


@dataclass
class _Probe:
    """Fits on standardised features."""

    features: Tensor
    answers: Tensor
    held_out: Tensor
    loss: Loss

    def __post_init__(self) -> None:
        self.mean = self.features.mean(0)
        self.scale = self.features.std(0, correction=0).clamp_min(1e-6)
        self.rows = (self.features - self.mean) / self.scale

    def chosen(self, strengths: Sequence[float]) -> tuple[float, Tensor | None, float]:
        """The strength with the lowest KL on the held-out rows, its weights without them, that KL.

        Args:
            strengths: the strongest first.
        """
        if not self.held_out.any():
            return strengths[len(strengths) // 2], None, float("inf")
        held, rest = self.held_out, ~self.held_out
        weights = self._zeros()
        found: list[tuple[float, float, Tensor]] = []
        for strength in strengths:
            weights = _fitted(self.rows[rest], self.answers[rest], strength, weights, self.loss)
            value = _mean(kl, weights, self.rows[held], self.answers[held]).item()
            found.append((value, strength, weights))
        value, strength, weights = min(found, key=lambda one: one[0])
        return strength, weights, value

    def of_all(self, strength: float) -> Tensor:
        """The weights by all rows."""
        return _fitted(self.rows, self.answers, strength, self._zeros(), self.loss)

    @torch.no_grad()
    def write(self, student: Pretrained, weights: Tensor) -> None:
        slope = weights[:-1] / self.scale.unsqueeze(1)
        student.head.weight.copy_(slope.T)
        student.head.bias.copy_(weights[-1] - self.mean @ slope)

    def _zeros(self) -> Tensor:
        return self.rows.new_zeros(self.rows.shape[1] + 1, self.answers.shape[1])


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
