"""Controls of an audit: clones trained without the victim's knowledge, the baselines of the clone.

No control sends a query: each uses rows that were paid for already, or the owner's own data.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.data.part_rows import held
from clonecost.evaluation.scoring import Reference, score
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.result import Control
from clonecost.training.recipes import shared_recipe, train
from clonecost.types import LabelledInputs, Progress, Rows


def run_controls(
    *,
    new_student: Callable[[], nn.Module],
    bought: tuple[Rows, Tensor] | None,
    true_labels: LabelledInputs | None,
    reference: Reference,
    rng: torch.Generator,
    progress: Progress,
    loop: Loop = plain,
) -> list[Control]:
    """Score each control for which the data are given, with the recipe of `shared_recipe`.

    The controls are `untrained_student`, `shuffled_answers` (needs `bought`) and `true_labels`
    (needs `true_labels`), in this order.

    Args:
        new_student: makes an untrained student on the device of `rng`.
        bought: the attack's rows (n, *input_shape) and their answers (n, K); None when they were
            not kept.
        true_labels: the victim's own training data, fitted to its input shape.
        rng: draws the permutation of the answers and the batches of the trainings.
        loop: runs the trainings, with checkpoints if it keeps any.
    """
    controls = [_control("untrained_student", new_student(), reference)]

    def trained(inputs: Rows, answers: Tensor) -> nn.Module:
        student = new_student()
        train(
            student, held(inputs, rng.device), answers.to(rng.device), shared_recipe(student),
            rng=rng, progress=progress, loop=loop,
        )  # fmt: skip
        return student

    if bought is not None:
        inputs, answers = bought
        shuffled = answers[torch.randperm(len(answers), generator=rng, device=rng.device).cpu()]
        controls.append(_control("shuffled_answers", trained(inputs, shuffled), reference))
    if true_labels is not None:
        one_hot = F.one_hot(true_labels.labels, reference.answers.shape[1]).float()
        student = trained(true_labels.inputs, one_hot)
        controls.append(_control("true_labels", student, reference))
    return controls


def _control(name: str, student: nn.Module, reference: Reference) -> Control:
    scored = score(student, reference, queries=0)
    return Control.model_validate(
        {
            "name": name,
            "accuracy": scored.accuracy,
            "agreement": scored.agreement,
            "corrected_agreement": scored.corrected_agreement,
        }
    )
