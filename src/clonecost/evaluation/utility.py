"""What a defence costs the model's users: wrong classes, false confidence, later answers."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from clonecost.evaluation.scoring import rate
from clonecost.result.utility import Change, Latency, RateChange, Utility
from clonecost.types import Victim

BINS = 15  # of the expected calibration error
FLOOR = 1e-7  # float32's resolution below 1: an answer of 0 costs 16 nats, not infinitely many


def utility(
    clean: Tensor,
    served: Tensor,
    labels: Tensor | None = None,
    outliers: tuple[Tensor, Tensor] | None = None,
) -> Utility:
    """The utility columns of a defence, from answers to the same rows without and with it.

    Args:
        clean: (n, K) answers of the victim on the simplex, n > 0.
        served: (n, K) answers that the API serves.
        labels: (n,) true classes; without them what needs labels is None.
        outliers: clean and served answers, (m, K) each, to rows that are none of the classes.

    Example:
        >>> clean = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
        >>> utility(clean, clean.round(), torch.tensor([0, 0])).nll
        Change(before=0.51..., after=8.05...)
    """
    distance = (served.double() - clean.double()).abs().sum(1)
    found = Utility(
        rows=len(clean),
        flips=rate(served.argmax(1) != clean.argmax(1)),
        l1_mean=float(distance.mean()),
        l1_max=float(distance.max()),
        auroc_outliers=None if outliers is None else _outliers(clean, served, outliers),
    )
    if labels is None:
        return found
    right = clean.argmax(1) == labels, served.argmax(1) == labels
    return found.model_copy(update={
        "accuracy": RateChange(before=rate(right[0]), after=rate(right[1])),
        "nll": Change(before=_nll(clean, labels), after=_nll(served, labels)),
        "ece": Change(before=calibration_error(clean, labels),
                      after=calibration_error(served, labels)),
        "auroc_errors": _change(auroc(clean.amax(1), right[0]), auroc(served.amax(1), right[1])),
    })  # fmt: skip


def _nll(answers: Tensor, labels: Tensor) -> float:
    """The mean of -log p of the true class, in nats, p at least `FLOOR`."""
    return float(-answers.double().gather(1, labels[:, None]).clamp_min(FLOOR).log().mean())


def calibration_error(answers: Tensor, labels: Tensor) -> float:
    """The expected calibration error of (n, K) answers, in [0, 1].

    The mean of |accuracy - confidence| over 15 bins of equal width, (0, 1/15], ..., (14/15, 1],
    weighted by their rows (Guo et al., ICML 2017).

    Example:
        >>> calibration_error(torch.tensor([[0.8, 0.2]] * 5), torch.tensor([0, 0, 0, 0, 1]))
        0.0...
    """
    confidence = answers.double().amax(1)
    right = (answers.argmax(1) == labels).double()
    place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gap = torch.zeros(BINS, dtype=torch.float64, device=answers.device)
    gap.index_add_(0, place, right - confidence)
    return float(gap.abs().sum()) / len(answers)


def auroc(score: Tensor, positive: Tensor) -> float | None:
    """The area under the ROC curve of (n,) scores; None where all rows are of one kind."""
    from sklearn.metrics import roc_auc_score  # a second that most commands do not need

    if bool(positive.all()) or not bool(positive.any()):
        return None
    return float(roc_auc_score(positive.cpu().numpy(), score.double().cpu().numpy()))


def _outliers(clean: Tensor, served: Tensor, outliers: tuple[Tensor, Tensor]) -> Change | None:
    inside = torch.cat([torch.ones(len(clean)), torch.zeros(len(outliers[0]))]).bool()
    before, after = (
        auroc(torch.cat([own.amax(1), other.amax(1)]).cpu(), inside)
        for own, other in zip((clean, served), outliers, strict=True)
    )
    return _change(before, after)


def _change(before: float | None, after: float | None) -> Change | None:
    return None if before is None or after is None else Change(before=before, after=after)


def latency(
    victim: Victim,
    defended: Victim,
    rows: Tensor,
    *,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Milliseconds a row at batches of 1 and 128, without and with the defence.

    The least of `repeats` calls, after one that is not counted. The rows are repeated to fill a
    batch.

    Args:
        rows: (n, *input_shape), n > 0.
        clock: returns seconds.

    Example:
        >>> latency(victim, defended, test.rows(slice(128))).batch_128.after  # doctest: +SKIP
        0.031
    """

    def least(answer: Victim, batch: Tensor) -> float:
        answer(batch)
        seconds = []
        for _ in range(repeats):
            began = clock()
            answer(batch)
            seconds.append(clock() - began)
        return 1000 * min(seconds) / len(batch)

    with torch.no_grad():
        one, many = (
            Change(before=least(victim, batch), after=least(defended, batch))
            for batch in (rows[:1], rows[torch.arange(128) % len(rows)])
        )
    return Latency(batch_1=one, batch_128=many)
