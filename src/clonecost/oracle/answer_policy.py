"""What a prediction API takes and gives: 8-bit inputs; probabilities, the top k of them, or labels.

The oracle uses it in front of every victim, and `clonecost serve` in front of the one it serves: so
both mean the same by the same words.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.errors import VictimError
from clonecost.types import AnswerKind, PredictionApi


def to_eight_bits(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the nearest k/255 in float32, as an image file would hold them."""
    return pixels.mul(255).round_().div_(255)


def shown(answers: Tensor, count: int, api: PredictionApi) -> Tensor:
    """What the API shows of a victim's answers to `count` rows: (count, K) on the simplex.

    A table's float64 answers stay float64, because equations are solved from them.

    Raises:
        VictimError: the answers have another shape, or are no probabilities.
    """
    exact = api.features is not None
    probs = check_answers(answers, count, api.num_classes, exact=exact)
    return restrict(probs, api.answers, api.top_k)


def check_answers(answers: Tensor, count: int, num_classes: int, *, exact: bool = False) -> Tensor:
    """What a victim gave for `count` rows, as float32 (count, num_classes) without a gradient.

    With `exact`, float64 stays float64.

    Raises:
        VictimError: another shape, or rows that are no probabilities.
    """
    want = (count, num_classes)
    if not isinstance(answers, Tensor) or tuple(answers.shape) != want:
        got = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise VictimError(
            f"want answers of shape {want} (rows, classes), the victim gave {got}: "
            "does its number of classes match the test set (--classes)?"
        )
    answers = answers.detach()
    if not (exact and answers.dtype == torch.float64):
        answers = answers.float()
    low, sums = answers.amin(), answers.sum(1)
    if not torch.isfinite(sums).all():
        bad = int((~torch.isfinite(answers).all(1)).sum())
        raise VictimError(f"the victim answered NaN or infinity for {bad} of {count} rows")
    logits = "if it gives logits, say so (`--outputs logits`)"
    if low < -1e-6:
        raise VictimError(f"the victim answered {low:.3g}: no probability is negative; {logits}")
    off = (sums - 1).abs().max()
    if off > 0.01:
        raise VictimError(f"the victim's answers miss a sum of 1 by {off:.3g}; {logits}")
    return answers


def restrict(probs: Tensor, kind: AnswerKind, top_k: int | None) -> Tensor:
    """(n, K) probabilities -> what an API of this kind shows of them, again (n, K), on the simplex.

    Labels are one-hot; a top-k answer keeps the k likeliest classes and renormalises.
    """
    if kind == "label":
        return F.one_hot(probs.argmax(1), probs.shape[1]).float()
    if kind == "top_k":
        assert top_k is not None
        top = probs.topk(top_k, dim=1)
        kept = torch.zeros_like(probs).scatter_(1, top.indices, top.values)
        return kept / kept.sum(1, keepdim=True)
    return probs
