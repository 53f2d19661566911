"""A student's last layer by the equations of its answers, in the place of a linear probe."""

import torch
from torch import Tensor

from clonecost.networks.pretrained import Pretrained
from clonecost.tabular.linear_head import solve_head
from clonecost.training.fine_tune import FitHead
from clonecost.types import AnswerKind


def solved_fit(kind: AnswerKind, step: float = 0.0) -> FitHead:
    """For `fine_tune`: what fits the head, as `best_head`, by `solve_head`.

    Args:
        kind: what the answers show.
        step: to which probabilities are rounded; 0: they are not.

    Example:
        >>> fine_tune(student, inputs, answers, FineTune(), rng=rng, fit=solved_fit("probs"))
    """

    @torch.no_grad()
    def fit(
        student: Pretrained, features: Tensor, answers: Tensor, held_out: Tensor, *, whole: bool
    ) -> None:
        used = torch.ones_like(held_out) if whole else ~held_out
        head = solve_head(features[used], answers[used], kind, step=step)
        student.head.weight.copy_(head.weight)
        student.head.bias.copy_(head.bias)

    return fit
