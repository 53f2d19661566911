"""Parts of `frozen_head`: whom it suits, and what it does where its equations do not hold."""

from torch import Tensor

from clonecost.attacks.base import AttackerKit
from clonecost.backbones import Backbone
from clonecost.backbones.catalogue import kind_of
from clonecost.errors import ChooseFrom, SpecError
from clonecost.networks.pretrained import Pretrained
from clonecost.tabular.solved_head import solved_fit
from clonecost.training.fine_tune import FineTune, fine_tune
from clonecost.training.log_ratio_head import Head
from clonecost.types import AnswerKind, Rows, ThreatModel

# steps so short that the backbone stays near the public one, which the solved head is for
RECIPE = FineTune(lr=2e-4)


def unfit_for(backbone: str, threat: ThreatModel) -> SpecError | None:
    """The error that refuses a victim without pictures, or a backbone that is not there."""
    if len(threat.input_shape) != 3:
        what = "frozen_head needs a victim of pictures: of these a backbone makes features"
        return SpecError(what, ChooseFrom("attacks"), got=f"shape {threat.input_shape}")
    try:
        kind_of(backbone)
    except SpecError as problem:
        return problem
    return None


def trained_from(
    backbone: Backbone, inputs: Rows, answers: Tensor, kind: AnswerKind, step: float,
    kit: AttackerKit,
) -> Pretrained:  # fmt: skip
    """The backbone with the solved head, fine-tuned on the paid rows. Sends no query.

    If no training predicts a tenth of the rows better than the head that is solved from the others,
    it is the backbone as it is with the head that all rows give.

    Args:
        step: to which probabilities are rounded.

    Raises:
        SpecError: the backbone cannot be trained.
    """
    student = Pretrained(backbone.as_module(), backbone.features, answers.shape[1])
    student = student.to(kit.device)
    fine_tune(
        student, inputs, answers.to(kit.device), RECIPE, rng=kit.rng, progress=kit.progress,
        loop=kit.loop, fit=solved_fit(kind, step),
    )  # fmt: skip
    return student


def shortfall(head: Head, spent: int, backbone: Backbone, kind: AnswerKind) -> str:
    """Why the solved head is no exact copy, in a sentence, and how good it is on rows left out."""
    if kind == "label":
        why = "Labels give no equations, so that the head is an estimate"
    elif spent <= backbone.features + 1:
        why = f"{spent:,} rows do not determine a head on {backbone.features:,} features"
    else:
        why = (
            f"The features of {backbone.name} explain {max(0.0, head.explained):.1%} of the "
            "answers, and of a frozen backbone all. The victim has another, was fine-tuned with "
            "it, or gives altered answers"
        )
    right = f"; the class was right on {head.held_out:.0%} of the paid rows left out"
    return why + right if head.held_out >= 0 else why  # nan: it was not measured
