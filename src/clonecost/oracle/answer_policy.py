"""Input precision and output policy of a prediction API: 8-bit inputs; top-k answers, labels.

The oracle applies them to every victim, and `clonecost serve` to the victim that it serves, so that
both implement the same threat model.
"""

from collections.abc import Sequence

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
    probs = shaped_answers(answers, count, api)
    judge_answers(answer_facts(probs).tolist(), count)
    return as_told(probs, api)


def as_told(probs: Tensor, api: PredictionApi) -> Tensor:
    """Checked probabilities -> what the API tells of them, (count, K) on the simplex."""
    if api.multi_label and api.answers == "label":
        return paired(present(probs).to(probs.dtype))
    return restrict(probs, api.answers, api.top_k)


def shaped_answers(answers: Tensor, count: int, api: PredictionApi) -> Tensor:
    """A victim's answers to `count` rows, as float32 (count, K) without a gradient.

    Float64 answers to rows of a table and to texts stay float64. No value is looked at.

    Raises:
        VictimError: the answers have another shape.
    """
    num_classes, exact = api.num_classes, api.takes != "images"
    want = (count, num_classes)
    if not isinstance(answers, Tensor) or tuple(answers.shape) != want:
        got = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise VictimError(
            "The victim's answers do not have the shape (rows, classes)", SetKey("classes"),
            got=got, want=want,
        )  # fmt: skip
    answers = answers.detach()
    return answers if exact and answers.dtype == torch.float64 else answers.float()


def answer_facts(answers: Tensor) -> Tensor:
    """What `judge_answers` reads, (3,) on the device of the answers: nothing waits for it here.

    The lowest value, the largest difference of a row's sum from 1, and the rows that hold NaN or
    infinity.
    """
    off = (answers.sum(1) - 1).abs().amax()
    return torch.stack([answers.amin(), off, (~answers.isfinite().all(1)).sum().to(off.dtype)])


def judge_answers(facts: Sequence[float], count: int) -> None:
    """Refuse answers to `count` rows that are no probabilities, by their `answer_facts`.

    Raises:
        VictimError: a value is NaN, infinite or below 0, or a row does not sum to 1 within 0.01.
    """
    low, off, bad = facts
    if bad:
        raise VictimError(f"The victim answered NaN or infinity for {bad:.0f} of {count} rows.")
    if low < -1e-6:
        raise VictimError(
            "The victim's answers are no probabilities", SetKey("outputs"),
            got=f"{low:.3g}", want="values of at least 0",
        )  # fmt: skip
    if not off <= 0.01:
        raise VictimError(
            f"The victim's answers differ from a sum of 1 by up to {off:.3g}",
            SetKey("outputs"),
        )


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
