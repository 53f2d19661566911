"""The check of an attack that promises the victim itself: did it deliver?

After the walk a few uniform rows are bought. Where the clone predicts another class than the victim
on some of them, the kit is told so, with the attacks that fit other models.
"""

import torch
from torch import nn

from clonecost.attacks._stages import BuySteps, query
from clonecost.attacks.base import AttackerKit, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.features import uniform_rows

CHECKING = -4  # branch of the kit
MISSED = 0.02  # share of the rows whose class a clone may miss: thresholds have a precision
TIE = 1e-9  # of two probabilities: the predicted class is chance


def check_delivery(
    oracle: Oracle, kit: AttackerKit, clone: nn.Module, *, checks: int, instead: str
) -> BuySteps:
    """Yield the clone, buy up to `checks` rows within the budget, and remark if it is wrong.

    Args:
        instead: a sentence, without its full stop, on models that are none of this attack's.
    """
    yield clone
    kit.remark("")
    count = min(checks, oracle.remaining)
    if not count:
        return
    rows = uniform_rows(table_of(oracle.threat), count, kit.branch(CHECKING).rng)
    answers = yield from query(oracle, rows, DeferredClone(lambda *_: clone))
    with torch.no_grad():
        margin = answers.topk(2, 1).values.diff(dim=1)[:, 0].abs()
        missed = int(((clone(rows).argmax(1) != answers.argmax(1)) & (margin > TIE)).sum())
    if missed > MISSED * count:
        kit.remark(
            f"On {count} further rows the clone predicts another class than the victim {missed} "
            f"times. {instead}"
        )


def unfinished(kit: AttackerKit, instead: str) -> None:
    """Say that the budget ended within the walk; `check_delivery` withdraws it."""
    kit.remark(f"The budget ended before the attack had seen the whole model. {instead}")
