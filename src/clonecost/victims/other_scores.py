"""Scores that are not clearly those of one class a row: amounts, ratings, whole numbers, labels.

Each function makes the one sentence that says so, with what the owner can state or change.
"""

from clonecost.errors import Advice, Remedy, SetKey, VictimError
from clonecost.victims.score_facts import FEW, Scores

CERTAIN = 8.0  # a logit of this size is a probability of 0.9997; an amount is larger for all rows
# a rating stays above the first, reaches the second and its highest is this multiple of its lowest:
# a logit that leans to one class on all of our rows is seldom that uneven
LEAST_RATING, RATED, UNEVEN = 0.9, 2.0, 1.3


def amount(seen: Scores) -> VictimError | None:
    """Why one number a row is rather an amount than a logit; None: it can be a logit.

    Example:
        >>> import torch
        >>> stars = Scores.of(torch.tensor([1.2, 4.7, 3.1, 2.2]), "model.onnx")
        >>> amount(stars) is None, amount(Scores.of(torch.tensor([-1.2, 3.0]), "model.onnx"))
        (False, None)
    """
    far = max(seen.low, -seen.high) > CERTAIN  # the distance from 0 on one side
    rated = (
        len(seen.values) >= FEW
        and seen.low >= LEAST_RATING
        and seen.high >= max(RATED, UNEVEN * seen.low)
    )
    if not far and not rated:
        return None
    kind = "an age, a price" if far else "a rating, a price"
    stays = "stays far from 0" if far else "is above 0 on every row"
    return VictimError(
        f"{seen.where} answers with one number a row that {stays} ({seen.range}), as "
        f"a regression model does ({kind}), while an audit is of a classifier: a logit "
        f"changes its sign between two classes. First rows: {seen.shown()}",
        Advice("return the probability of a class"), SetKey("outputs", "logit"),
    )  # fmt: skip


def whole_numbers(seen: Scores, num_classes: int | None) -> VictimError:
    """One whole number a row that is no class number, or of an unknown number of classes."""
    if seen.low >= 1 and (num_classes is None or seen.high == num_classes):
        return VictimError(
            f"{seen.where} answers with whole numbers that start at 1 ({seen.range}), as ratings "
            "do, and classes are counted from 0",
            Advice("return the number minus 1, in the model or around it"),
            SetKey("classes", int(seen.high) + 1),
        )  # fmt: skip
    if num_classes is None:
        return VictimError(
            f"{seen.where} answers with class numbers, and the number of classes is unknown",
            SetKey("classes"),
        )
    return VictimError(
        f"{seen.where} answers with whole numbers that are no class numbers",
        SetKey("classes"), got=seen.range, want=f"0 to {num_classes - 1}",
    )  # fmt: skip


def whole_scores(seen: Scores, *, steps: bool) -> VictimError:
    """Whole numbers, one a class: soft-max would make other numbers of them.

    Args:
        steps: they can be probabilities in 256 steps.
    """
    one = "probabilities in 256 steps" if steps else "quantised scores"
    what = one if seen.whole else "ratings, counts or quantised scores"
    remedies: list[Remedy] = [SetKey("outputs", "bytes")] if steps else []
    return VictimError(
        f"{seen.where} answers with whole numbers ({what}, or logits in steps of unknown size): "
        f"{seen.range}. First rows: {seen.shown()}",
        *remedies, SetKey("outputs", "logits"),
        Advice("export the model with its scores as floats"),
    )  # fmt: skip


def several_labels(seen: Scores, *, certain: bool) -> VictimError:
    """Values between 0 and 1 of other sums: several labels a row, or logits.

    Args:
        certain: they stay between 0 and 1 for inputs far out of range.
    """
    several = SetKey("outputs", "multi_label")
    if certain:
        return VictimError(
            f"{seen.where} is a multi-label model: {seen.columns} values between 0 and 1, also for "
            f"inputs far out of range, and their sum is not 1 ({seen.range}). First rows: "
            f"{seen.shown()}", several, SetKey("outputs", "logits"),
        )  # fmt: skip
    return VictimError(
        f"The answers of {seen.where} are between 0 and 1, their sum is not 1 ({seen.range}), and "
        "two readings fit: one sigmoid a class (a multi-label model), or logits. First rows: "
        f"{seen.shown()}", several, SetKey("outputs", "logits"),
    )  # fmt: skip
