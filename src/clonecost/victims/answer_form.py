"""What a model returns, decided in one place: probabilities, logits, percentages, labels, ...

`decide` reads a model's scores for a few rows and says which form they have, and why. Where two
forms fit, it asks; a form that the owner states is checked against the rows. Torch modules, weights
files, programs, ONNX files, callables, estimators and endpoints all come here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clonecost.errors import Advice, DropKey, SetKey, VictimError
from clonecost.victims.other_scores import amount, several_labels, whole_numbers, whole_scores
from clonecost.victims.score_facts import FEW, Scores

if TYPE_CHECKING:  # the schema of a spec imports this module, and help texts need no torch
    from torch import Tensor

Outputs = Literal[
    "probs", "logits", "log_probs", "percent", "bytes", "sigmoid", "logit", "label", "multi_label"
]  # fmt: skip
NAMES: dict[Outputs, str] = {
    "probs": "probabilities",
    "logits": "logits",
    "log_probs": "log-probabilities",
    "percent": "percentages",
    "bytes": "probabilities in 256 steps",
    "sigmoid": "the probability of the second of two classes",
    "logit": "the logit of the second of two classes",
    "label": "class numbers",
    "multi_label": "the probability of each of several labels",
}
MOST_STARS = 10.0  # up to here, what is never near 0 is rather a rating than a percentage
TOLERANCE = 0.01  # of a sum of probabilities from 1: models in float16 are that inexact


@dataclass(frozen=True, kw_only=True)
class AnswerForm:
    """The form of a model's scores.

    Attributes:
        outputs: the form's name, a value of the key `outputs`.
        num_classes: K of the probabilities that `probabilities` makes.
        reason: the facts that decided.

    Example:
        >>> form = decide(torch.tensor([[0.2, 0.8], [0.7, 0.3]]), where="model.onnx")
        >>> form.words
        'gives probabilities (0.2 to 0.8, sums 1 to 1 on 2 rows)'
    """

    outputs: Outputs
    num_classes: int
    reason: str

    @property
    def columns(self) -> int:
        """The number of the victim's classes, or of its labels if it gives several a row."""
        return self.num_classes // 2 if self.outputs == "multi_label" else self.num_classes

    @property
    def words(self) -> str:
        """The form and the reason in words."""
        return f"gives {NAMES[self.outputs]} ({self.reason})"

    def probabilities(self, scores: "Tensor") -> "Tensor":
        """(n, columns) scores -> (n, num_classes) probabilities; float64 stays float64.

        Raises:
            VictimError: class numbers are outside of 0 to K - 1.
        """
        import torch

        from clonecost.networks.per_label import paired

        if self.outputs == "label":
            return _one_hot(scores, self.num_classes)
        if not scores.is_floating_point() or scores.element_size() < 4:
            scores = scores.float()
        match self.outputs:
            case "logits" | "log_probs":
                return scores.softmax(1)
            case "logit":
                return torch.cat([(-scores).sigmoid(), scores.sigmoid()], 1)
            case "sigmoid":
                return torch.cat([1 - scores, scores], 1)
            case "bytes":
                return scores / scores.sum(1, keepdim=True)
            case "multi_label":
                return paired(scores.clamp(0, 1))
            case "percent":
                shares = scores / 100
                return torch.cat([1 - shares, shares], 1) if shares.shape[1] == 1 else shares
        return scores


def decide(
    scores: "Tensor",
    *,
    where: str,
    num_classes: int | None = None,
    outputs: Outputs | None = None,
    far: "Tensor | None" = None,
) -> AnswerForm:
    """The form of a model's answers to a few rows, all taken together.

    Args:
        scores: (n, columns) or (n,) for n >= 1 varied rows, as the model returns them.
        where: the model, for messages.
        num_classes: the audit's number of classes; None: the model's own.
        outputs: the form that the owner states; it is checked, and decides where several fit.
        far: scores for inputs far outside of the model's range, where such were asked: a sigmoid
            stays between 0 and 1 there, and a logit does not.

    Raises:
        VictimError: no form fits, several fit and `outputs` is None, or `outputs` does not fit.

    Example:
        >>> decide(torch.tensor([[3.0, -1.0], [0.5, 2.5]]), where="model.onnx").outputs
        'logits'
    """
    seen = Scores.of(scores, where)
    if seen.columns > 1 and num_classes not in (None, seen.columns):
        raise VictimError(
            f"{where} has another number of classes than the audit", SetKey("test"),
            SetKey("class_names"), SetKey("classes"), got=f"{seen.columns} scores a row",
            want=num_classes,
        )  # fmt: skip
    beyond = None if far is None else Scores.of(far, where)
    if outputs is None:
        chosen, why = _derive(seen, beyond, num_classes)
    else:
        chosen, why = outputs, f"as stated; {seen.range}"
        if problem := _contradiction(seen, beyond, outputs, num_classes):
            raise _no_fit(seen, beyond, outputs, problem, num_classes)
    columns = max(2, seen.columns)
    classes = num_classes or columns if chosen == "label" else answered_classes(columns, chosen)
    return AnswerForm(outputs=chosen, num_classes=classes, reason=why)


def answered_classes(scores: int, outputs: Outputs | None) -> int:
    """K of the probabilities that are made of this number of scores: twice the labels of a
    multi-label model, each present or absent.

    Example:
        >>> answered_classes(10, "probs"), answered_classes(10, "multi_label")
        (10, 20)
    """
    return 2 * scores if outputs == "multi_label" else scores


def must_still_be(form: AnswerForm, scores: "Tensor", where: str) -> None:
    """Refuse logits that turn into probabilities: the answers that decided were unlike the others.

    The other way round needs no check: what is not on the simplex is refused as an answer.

    Args:
        form: the form that earlier answers showed.
        scores: (n, columns) of later rows.
        where: the model, for messages.

    Raises:
        VictimError: every row of at least four is non-negative and sums to 1 or to 100, which no
            logits do by coincidence.
    """
    if form.outputs != "logits" or len(scores) < FEW or scores.ndim < 2:
        return
    seen = Scores.of(scores, where)
    for other in ("probs", "percent"):
        if not seen.whole and _misfit(seen, other, None) is None:
            raise VictimError(
                f"The first answers of {where} looked like logits ({form.reason}), and later ones "
                f"are {NAMES[other]} ({seen.range}), so the earlier ones were read wrongly",
                SetKey("outputs", other), SetKey("out"),
            )  # fmt: skip


def _misfit(seen: Scores, form: Outputs, num_classes: int | None) -> str | None:
    """Why the scores do not have this form; None: they can have it."""
    many = seen.columns > 1
    if form in ("probs", "bytes", "log_probs", "logits", "multi_label") and not many:
        return "it is one number a row"
    if form in ("sigmoid", "logit") and many:
        return f"they are {seen.columns} numbers a row"
    binary = form in ("sigmoid", "logit") or (form == "percent" and not many)
    if binary and num_classes not in (None, 2):
        return f"they are one number a row, and the audit has {num_classes} classes"
    if form == "logit" and seen.integral() and len(seen.values) >= FEW:
        return f"they are whole numbers, {seen.range}"
    tests: dict[Outputs, Callable[[], bool]] = {
        "probs": lambda: seen.low >= -TOLERANCE / 10 and seen.sum_to(1, TOLERANCE),
        "percent": lambda: (
            seen.sum_to(100, 1) and seen.low >= -0.1
            if many
            else seen.within(0, 101) and seen.high > 1
        ),
        "bytes": lambda: (
            seen.integral() and seen.within(0, 255) and seen.sum_to(255.5, 1 + seen.columns / 2)
        ),
        "log_probs": lambda: seen.high <= TOLERANCE and _log_sums_to_zero(seen),
        "logits": lambda: True,
        "logit": lambda: True,
        "sigmoid": lambda: seen.within(-1e-4, 1 + 1e-4),
        "label": lambda: _can_be_labels(seen, num_classes),
        "multi_label": lambda: seen.within(-1e-4, 1 + 1e-4),
    }
    return None if tests[form]() else f"they are {seen.range}"


def _contradiction(
    seen: Scores, far: Scores | None, stated: Outputs, num_classes: int | None
) -> str | None:
    """Why the form that the owner states cannot be; None: it can."""
    if problem := _misfit(seen, stated, num_classes):
        return problem
    if stated == "logits" and len(seen.values) >= FEW and (not far or far.low >= 0):
        # by coincidence, no logits have these sums on every row
        for other in ("probs", "percent"):
            if _misfit(seen, other, num_classes) is None and not seen.whole:
                return f"every row is non-negative and sums to {round(seen.sums[0])}"
    # whole numbers are labels by name: a batch of rows with one label each may come
    one_class = stated == "multi_label" and len(seen.values) >= FEW and not seen.integral()
    if one_class and _misfit(seen, "probs", num_classes) is None:
        return "every row sums to 1, as of a model that gives each row one class"
    if stated == "logit" and far and seen.within(0, 1) and far.within(0, 1):
        return "they stay between 0 and 1 for inputs far out of range"
    return None


def _derive(seen: Scores, far: Scores | None, num_classes: int | None) -> tuple[Outputs, str]:
    if seen.columns == 1:
        return _derive_column(seen, far, num_classes)
    if _misfit(seen, "probs", num_classes) is None:
        if far is not None and _misfit(far, "probs", num_classes) is not None:
            raise VictimError(
                f"The answers of {seen.where} are non-negative and sum to 1 ({seen.range}), but "
                f"not for inputs out of range ({far.range}), and two readings fit: probabilities, "
                f"or logits. First rows: {seen.shown()}",
                SetKey("outputs", "probs"), SetKey("outputs", "logits"),
            )  # fmt: skip
        return "probs", seen.range
    if _misfit(seen, "percent", num_classes) is None:
        return "percent", f"{seen.range}; divided by 100"
    if _misfit(seen, "log_probs", num_classes) is None:
        return "log_probs", f"{seen.range}, and their exponentials sum to 1"
    _refuse_other_scales(seen)
    if seen.within(-1e-4, 1 + 1e-4) and (seen.low, seen.high) != (0, 0):
        if far is not None and not far.within(-1e-4, 1 + 1e-4):
            return "logits", f"{seen.range}, and outside of 0 to 1 for inputs out of range"
        raise several_labels(seen, certain=far is not None)
    return "logits", seen.range


def _derive_column(
    seen: Scores, far: Scores | None, num_classes: int | None
) -> tuple[Outputs, str]:
    numbers = seen.whole or (seen.integral() and seen.high > 1)
    if numbers and seen.low >= 0:
        if num_classes is not None and _can_be_labels(seen, num_classes):
            return "label", seen.range
        raise whole_numbers(seen, num_classes)
    if num_classes not in (None, 2):
        if seen.integral() and _can_be_labels(seen, num_classes):
            return "label", seen.range
        raise VictimError(
            f"{seen.where} answers with one number a row, as a regression model or a classifier of "
            f"two classes, and the audit has {num_classes}", SetKey("classes", 2), SetKey("test"),
            got=seen.shown(),
        )  # fmt: skip
    if seen.integral() and seen.low < 0 and len(seen.values) >= FEW:
        raise VictimError(
            f"{seen.where} answers with whole numbers, some below 0, as a classifier of the "
            "classes -1 and 1", Advice("return the class as 0 or 1, or a probability"),
            got=seen.shown(),
        )  # fmt: skip
    leaves = far is not None and not far.within(-1e-4, 1 + 1e-4)
    if _misfit(seen, "sigmoid", num_classes) is None:
        if leaves:
            return "logit", f"{seen.range}, and outside of 0 to 1 for inputs out of range"
        return "sigmoid", seen.range
    error = amount(seen)
    rated = error is not None and seen.high <= MOST_STARS
    percent = _misfit(seen, "percent", num_classes) is None
    if percent and not rated and (far is None or far.within(-0.1, 101)):
        raise VictimError(
            f"The answers of {seen.where} are one number a row, {seen.range}, and two readings "
            f"fit: a percentage, or a logit. First rows: {seen.shown()}",
            SetKey("outputs", "percent"), SetKey("outputs", "logit"),
        )  # fmt: skip
    if error:
        raise error
    return "logit", seen.range


def _refuse_other_scales(seen: Scores) -> None:
    """Refuse whole numbers, and rows of one sum: softmax would make other numbers of them."""
    steps = _misfit(seen, "bytes", None) is None
    if seen.whole:
        raise whole_scores(seen, steps=steps)
    if steps:
        raise VictimError(
            f"The answers of {seen.where} are whole numbers from 0 to 255, and two readings fit: "
            f"probabilities in 256 steps, or logits. First rows: {seen.shown()}",
            SetKey("outputs", "bytes"), SetKey("outputs", "logits"),
        )  # fmt: skip
    total = seen.constant_sum() if seen.low >= 0 else None
    if total is not None:
        raise VictimError(
            f"Every answer of {seen.where} is non-negative and sums to {total:.4g}, as counts of "
            f"votes do, and not to 1 or 100. First rows: {seen.shown()}",
            Advice("divide the answers by their sum in the model or around it"),
            SetKey("outputs", "logits"),
        )  # fmt: skip
    if seen.low >= 0 and _log_sums_to_zero(seen, sign=-1.0):
        raise VictimError(
            f"The answers of {seen.where} are negative log-probabilities. First rows: "
            f"{seen.shown()}", Advice("return the logarithms without the minus sign"),
        )  # fmt: skip
    if seen.integral() and seen.spreads():
        raise whole_scores(seen, steps=False)


def _no_fit(
    seen: Scores, far: Scores | None, stated: Outputs, problem: str, num_classes: int | None
) -> VictimError:
    """A stated form that does not fit, with the one that the rows show; or what they leave open."""
    try:
        shown, _ = _derive(seen, far, num_classes)
    except VictimError as error:
        return error
    return VictimError(
        f"The answers of {seen.where} are not {NAMES[stated]} (outputs is {stated}): {problem}. "
        f"First rows: {seen.shown()}", SetKey("outputs", shown), DropKey("outputs"),
    )  # fmt: skip


def _log_sums_to_zero(seen: Scores, sign: float = 1.0) -> bool:
    return bool(((sign * seen.values).logsumexp(1).abs() <= 2 * TOLERANCE).all())


def _can_be_labels(seen: Scores, num_classes: int | None) -> bool:
    if seen.columns == 1:
        top = (num_classes or 2) - 1
        return seen.integral() and seen.within(0, top)
    return seen.integral() and seen.within(0, 1) and seen.sum_to(1, 0)


def _one_hot(scores: "Tensor", num_classes: int) -> "Tensor":
    from torch.nn import functional as F

    if scores.ndim > 1 and scores.shape[1] == num_classes and num_classes > 1:
        return scores.float()
    labels = scores.reshape(-1)
    whole = labels.long()
    if len(whole) and not (
        bool((whole == labels).all()) and int(whole.min()) >= 0 and int(whole.max()) < num_classes
    ):
        raise VictimError(
            "The victim answers with something else than a class number", SetKey("classes"),
            got=f"{float(labels.min()):g} to {float(labels.max()):g}",
            want=f"whole numbers, 0 to {num_classes - 1}",
        )  # fmt: skip
    return F.one_hot(whole, num_classes).float()
