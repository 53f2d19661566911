"""Rows of a table whose answers give equations, bought in the place of saturated ones.

An answer that is exactly 0 or 1 (or so near that its digits are lost) has no logit. Between a row
of one class and a row of another lies the victim's boundary, where no answer is saturated: the line
between them is bisected until an answer is usable.
"""

import torch
from torch import Tensor

from clonecost.attacks._stages import Bought, BuySteps
from clonecost.attacks.base import AttackerKit
from clonecost.tabular.features import bounds, is_category, uniform_rows
from clonecost.types import Feature, answered

LOST_DIGITS = 100.0  # times the precision of a float: a probability below this has under two digits
HALVINGS = 40  # of a line: float32 rows are not nearer to each other
FIRST_LINES = 2  # if none of them gives a usable answer, no more are tried
SEARCH = 4  # rows in which a second class is sought, as a multiple of the rows wanted


def usable(answers: Tensor) -> Tensor:
    """(n,) bool: whether the two largest probabilities of an answer, (n, K), have digits.

    Example:
        >>> usable(torch.tensor([[0.9, 0.1], [1.0, 0.0]]))
        tensor([ True, False])
    """
    return _with_digits(answers) > 1


def equations(answers: Tensor) -> int:
    """How many equations the answers, (n, K), give: one for each further probability with digits.

    Example:
        >>> equations(torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]]))
        3
    """
    return int((_with_digits(answers) - 1).clamp_min(0).sum())


def _with_digits(answers: Tensor) -> Tensor:
    """(n,) how many probabilities of each answer have digits."""
    return (answers > LOST_DIGITS * torch.finfo(answers.dtype).eps).sum(1)


def buy_usable(
    bought: Bought, kit: AttackerKit, features: tuple[Feature, ...], wanted: int
) -> BuySteps:
    """Buy rows until their answers give `wanted` equations, or until lines give none."""
    if is_category(features).all():
        return
    yield from _find_a_second_class(bought, kit, features, wanted)
    lines = FIRST_LINES
    while (missing := wanted - equations(bought.answers)) > 0:
        yield from _bisect(bought, kit, features, min(missing, lines))
        if wanted - equations(bought.answers) == missing:
            return
        lines = wanted


def _find_a_second_class(
    bought: Bought, kit: AttackerKit, features: tuple[Feature, ...], wanted: int
) -> BuySteps:
    """Buy corners of the table's box, where a linear victim's answers are most extreme."""
    left = SEARCH * max(8, wanted)
    missing = equations(bought.answers) < wanted
    while missing and left > 0 and len(_classes_seen(bought.answers)) < 2:
        rows = uniform_rows(features, min(64, left), kit.rng)
        low, high = (bound.to(rows.device) for bound in bounds(features))
        corners = torch.where(rows > (low + high) / 2, high, low)
        number = ~is_category(features).to(rows.device)
        yield from bought.buy(torch.where(number, corners, rows))
        left -= len(rows)


def _bisect(
    bought: Bought, kit: AttackerKit, features: tuple[Feature, ...], count: int
) -> BuySteps:
    """Bisect `count` lines between rows of different classes until an answer on each is usable.

    A line begins at a new row, so that no two lines are the same.
    """
    a = uniform_rows(features, count, kit.rng)
    of_a = _classes((yield from bought.buy(a)))
    b = rows_of_another_class(of_a, _classes(bought.answers), kit.rng)
    some = (b >= 0) & (of_a >= 0)
    if not some.any():
        return
    a, of_a, b = a[some], of_a[some], bought.rows[b[some]]
    category = is_category(features).to(a.device)
    for _ in range(HALVINGS):
        middle = torch.where(category, a, (a + b) / 2)
        go = ((middle != a) & (middle != b) & ~category).any(1)
        a, b, of_a, middle = a[go], b[go], of_a[go], middle[go]
        if not len(a):
            return
        answers = yield from bought.buy(middle)
        same = (answers.argmax(1) == of_a)[:, None]
        a, b = torch.where(same, middle, a), torch.where(same, b, middle)
        go = ~usable(answers) & answered(answers)
        a, b, of_a = a[go], b[go], of_a[go]


def _classes(answers: Tensor) -> Tensor:
    """(n,) predicted classes; -1 for a row that the victim refused."""
    return torch.where(answered(answers), answers.argmax(1), -1)


def _classes_seen(answers: Tensor) -> Tensor:
    return answers[answered(answers)].argmax(1).unique()


def rows_of_another_class(classes: Tensor, among: Tensor, rng: torch.Generator) -> Tensor:
    """For each of (n,) classes the place of one in `among` that differs, drawn; -1: none does.

    The class -1, of a refused row, is never drawn.

    One class at a time: all pairs at once would take count x rows numbers.
    """
    found = torch.full_like(classes, -1)
    for k in classes.unique():
        mine, others = classes == k, ((among != k) & (among >= 0)).nonzero()[:, 0]
        if len(others):
            draws = torch.randint(
                len(others), (int(mine.sum()),), generator=rng, device=classes.device
            )
            found[mine] = others[draws]
    return found
