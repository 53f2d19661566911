"""Input precision and output policy of a prediction API: 8-bit inputs; top-k answers, labels.

The oracle applies them to every victim, and `clonecost serve` to the victim that it serves, so that
both implement the same threat model.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.errors import SetKey, VictimError
from clonecost.networks.per_label import paired, present
from clonecost.types import AnswerKind, PredictionApi


def to_eight_bits(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the nearest k/255 in float32, the values of an 8-bit image file."""
    return pixels.mul(255).round_().div_(255)


def api_answers(answers: Tensor, count: int, api: PredictionApi) -> Tensor:
    """The answers of the API, from a victim's answers to `count` rows: (count, K) on the simplex.

    Float64 answers to rows of a table and to texts stay float64, because equations are solved from
    them.

    Raises:
        VictimError: the answers have another shape, or are no probabilities.

    Example:
        >>> api = ThreatModel(
        ...     input_shape=(1, 8, 8), num_classes=3, query_budget=10, answers="label"
        ... )
        >>> api_answers(torch.tensor([[0.2, 0.7, 0.1]]), 1, api)
        tensor([[0., 1., 0.]])
    """
    exact = api.takes != "images"
    probs = check_answers(answers, count, api.num_classes, exact=exact)
    if api.multi_label and api.answers == "label":
        return paired(present(probs).to(probs.dtype))
    return restrict(probs, api.answers, api.top_k)


def check_answers(answers: Tensor, count: int, num_classes: int, *, exact: bool = False) -> Tensor:
    """A victim's answers to `count` rows, as float32 (count, num_classes) without a gradient.

    With `exact`, float64 stays float64. Each row must sum to 1 within 0.01.

    Raises:
        VictimError: the answers have another shape, or rows that are no probabilities.
    """
    want = (count, num_classes)
    if not isinstance(answers, Tensor) or tuple(answers.shape) != want:
        got = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise VictimError(
            "The victim's answers do not have the shape (rows, classes)", SetKey("classes"),
            got=got, want=want,
        )  # fmt: skip
    answers = answers.detach()
    if not (exact and answers.dtype == torch.float64):
        answers = answers.float()
    low, sums = answers.amin(), answers.sum(1)
    if not torch.isfinite(sums).all():
        bad = int((~torch.isfinite(answers).all(1)).sum())
        raise VictimError(f"The victim answered NaN or infinity for {bad} of {count} rows.")
    if low < -1e-6:
        raise VictimError(
            "The victim's answers are no probabilities", SetKey("outputs"),
            got=f"{low:.3g}", want="values of at least 0",
        )  # fmt: skip
    off = float((sums - 1).abs().max())
    if off > 0.01:
        raise VictimError(
            f"The victim's answers differ from a sum of 1 by up to {off:.3g}",
            SetKey("outputs"),
        )
    return answers


def restrict(probs: Tensor, kind: AnswerKind, top_k: int | None) -> Tensor:
    """(n, K) probabilities -> the answers of an API of this kind, (n, K) on the simplex.

    Labels are one-hot. A top-k answer keeps the k most probable classes and is renormalised.
    """
    if kind == "label":
        return F.one_hot(probs.argmax(1), probs.shape[1]).float()
    if kind == "top_k":
        assert top_k is not None
        top = probs.topk(top_k, dim=1)
        kept = torch.zeros_like(probs).scatter_(1, top.indices, top.values)
        return kept / kept.sum(1, keepdim=True)
    return probs
