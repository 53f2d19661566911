"""Run an attack on a table without an audit around it, to look at the clone itself."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tests.support.table_toys import TableToy
from torch import nn

from clonecost.attacks import Attack
from clonecost.attacks.base import AttackerKit
from clonecost.errors import BudgetError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.tabular.features import uniform_rows
from clonecost.types import AnswerKind, ThreatModel, Victim


def steal(
    attack: Attack, toy: TableToy, tmp_path: Path, *, budget: int = 100_000, seed: int = 0,
    answers: AnswerKind = "probs", milestones: Sequence[int] = (), victim: Victim | None = None,
) -> tuple[list[nn.Module], int]:  # fmt: skip
    """The clones that were handed over, and how many rows were spent."""
    threat = ThreatModel(
        input_shape=(len(toy.features),), num_classes=toy.classes, query_budget=budget,
        answers=answers, features=toy.features, incomplete=toy.incomplete,
    )  # fmt: skip
    ledger = Ledger(
        tmp_path / f"ledger{len(list(tmp_path.iterdir()))}.sqlite", audit="toy",
        input_shape=threat.input_shape, num_classes=toy.classes,
    )  # fmt: skip
    oracle = Oracle(victim or toy.answer, threat, ledger)
    clones: list[nn.Module] = []
    try:
        for clone in attack.run(oracle, kit(budget, seed, milestones)):
            clones.append(clone)
    except BudgetError:
        pass
    finally:
        ledger.close()
    return clones, oracle.spent


def kit(budget: int, seed: int = 0, milestones: Sequence[int] = ()) -> AttackerKit:
    def nothing(*_: object, **__: object) -> nn.Module:
        raise AssertionError("an attack on a table brings its own model")

    return AttackerKit(
        student=nothing, generator=nothing, rng=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"), horizon=budget, milestones=tuple(milestones),
    )  # fmt: skip


@torch.no_grad()
def total_variation(clone: nn.Module, toy: TableToy, rows: int = 2_000) -> float:
    """The largest of all rows: 1/2 sum_k |p_k - q_k|."""
    x = uniform_rows(toy.features, rows, torch.Generator().manual_seed(99))
    return float((clone(x).softmax(1) - toy.answer(x)).abs().sum(1).max() / 2)


@torch.no_grad()
def agreement(clone: nn.Module, toy: TableToy, rows: int = 2_000) -> float:
    x = uniform_rows(toy.features, rows, torch.Generator().manual_seed(99))
    return float((clone(x).argmax(1) == toy.answer(x).argmax(1)).double().mean())
