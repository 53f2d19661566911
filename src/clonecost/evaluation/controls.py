"""Controls beside an audit: clones made without what the victim knows. What did the queries buy?

All three ask the victim nothing: they use rows that were bought already, or the owner's own data.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.evaluation.scoring import Reference, score
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.result import Control
from clonecost.training.distill import Recipe, distill
from clonecost.types import LabelledInputs, Progress


def run_controls(
    *,
    new_student: Callable[[], nn.Module],
    bought: tuple[Tensor, Tensor] | None,
    true_labels: LabelledInputs | None,
    reference: Reference,
    rng: torch.Generator,
    progress: Progress,
    loop: Loop = plain,
) -> list[Control]:
    """Score each control that can be made from what is given, with the shared recipe.

    Args:
        new_student: an untrained student on the device of `rng`.
        bought: the rows of the attack and their answers; None when they were not kept.
        true_labels: the victim's own training data, fitted to its input shape.
    """
    untrained = new_student()
    found = [_control("untrained_student", untrained, reference)]

    def trained(inputs: Tensor, answers: Tensor) -> nn.Module:
        student = new_student()
        distill(
            student, inputs.to(rng.device), answers.to(rng.device), Recipe(), rng=rng,
            progress=progress, loop=loop,
        )  # fmt: skip
        return student

    if bought is not None:
        inputs, answers = bought
        shuffled = answers[torch.randperm(len(answers), generator=rng, device=rng.device).cpu()]
        found.append(_control("shuffled_answers", trained(inputs, shuffled), reference))
    if true_labels is not None:
        one_hot = F.one_hot(true_labels.labels, reference.answers.shape[1]).float()
        student = trained(true_labels.inputs, one_hot)
        found.append(_control("true_labels", student, reference))
    return found


def _control(name: str, student: nn.Module, reference: Reference) -> Control:
    found = score(student, reference, queries=0)
    return Control.model_validate(
        {"name": name, "accuracy": found.accuracy, "agreement": found.agreement}
    )
