"""Run an attack on a table without an audit around it, to look at the clone itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tests.support.table_toys import TableToy
from torch import nn

from clonecost.attacks import Attack
from clonecost.attacks.base import AttackerKit, no_remark
from clonecost.audit.curve import follow
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.tabular.features import uniform_rows
from clonecost.types import AnswerKind, ThreatModel, Victim


def steal(
    attack: Attack, toy: TableToy, tmp_path: Path, *, budget: int = 100_000, seed: int = 0,
    answers: AnswerKind = "probs", milestones: Sequence[int] = (), victim: Victim | None = None,
    remark: Callable[[str], None] = no_remark,
) -> tuple[list[nn.Module], int]:  # fmt: skip
    """The clones of the milestones and of the end, and how many rows were spent."""
    threat = ThreatModel(
        input_shape=(len(toy.features),), num_classes=toy.classes, query_budget=budget,
        answers=answers, features=toy.features, incomplete=toy.incomplete,
        input_precision=toy.precision,
    )  # fmt: skip
    ledger = Ledger(
        tmp_path / f"ledger{len(list(tmp_path.iterdir()))}.sqlite", audit="toy",
        input_shape=threat.input_shape, num_classes=toy.classes,
    )  # fmt: skip
    oracle = Oracle(
        victim or toy.answer, threat, ledger, skips_refused=attack.declares.skips_refused
    )
    attackers, looks = replace(kit(budget, seed), remark=remark), Kept()
    try:
        follow(attack.run(oracle, attackers), oracle, attackers, milestones, looks)
    finally:
        ledger.close()
    return looks.clones, oracle.spent


@dataclass
class Kept:
    """Looks that keep the clones themselves."""

    clones: list[nn.Module] = field(default_factory=list)
    queries: int = -1

    def look(self, clone: nn.Module, queries: int) -> None:
        self.clones.append(clone)
        self.queries = queries


def kit(budget: int, seed: int = 0) -> AttackerKit:
    def nothing(*_: object, **__: object) -> nn.Module:
        raise AssertionError("an attack on a table brings its own model")

    return AttackerKit(
        student=nothing, generator=nothing, rng=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"), horizon=budget,
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
