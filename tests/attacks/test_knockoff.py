import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor, nn

from clonecost.attacks.knockoff import PAPER, Knockoff
from clonecost.audit import run_audit
from clonecost.persistence.run_folder import CLONE
from clonecost.training.recipes import train
from clonecost.types import LabelledInputs, ThreatModel, Victim


def test_two_budgets_in_one_run_give_what_two_runs_give(
    threat: ThreatModel, make_audit: MakeAudit, tmp_path: Path
) -> None:
    """The official code trains the larger budget's clone on from the smaller one's."""
    small = dataclasses.replace(threat, query_budget=500)
    alone = run_audit(make_audit(threat=small, milestones=(), out=tmp_path / "alone"))
    both = run_audit(make_audit(milestones=(500,), out=tmp_path / "both"))
    assert both.curve[0] == alone.curve[-1]
    only = run_audit(make_audit(milestones=(), out=tmp_path / "only"))
    assert both.curve[-1] == only.curve[-1]
    assert (tmp_path / "both" / CLONE).read_bytes() == (tmp_path / "only" / CLONE).read_bytes()


def test_draws_without_replacement_and_starts_over_when_the_pool_is_used_up(
    victim: Victim, proxy: LabelledInputs, make_audit: MakeAudit
) -> None:
    pool = proxy.take(slice(0, 600))
    counting = RecordingVictim(victim)
    run_audit(make_audit(victim=counting, proxy=pool, milestones=()))
    rows = counting.rows[400:]
    assert len(set(rows[:600])) == 600
    assert rows[:600] == rows[600:1200]
    assert rows[1200:] == rows[:300]


def test_the_papers_recipe() -> None:
    assert Knockoff().recipe == "paper"
    assert (PAPER.lr, PAPER.momentum, PAPER.weight_decay) == (0.01, 0.5, 0.0)
    assert (PAPER.epochs, PAPER.batch_size, PAPER.step_epochs, PAPER.step_decay) == (
        200,
        64,
        60,
        0.1,
    )
    assert (PAPER.augment, PAPER.validation) == ("none", 0.0)


def test_trains_on_exactly_what_was_answered(
    make_audit: MakeAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    import clonecost.attacks.knockoff as module

    seen: list[tuple[Tensor, Tensor]] = []

    def remember(student: nn.Module, x: Tensor, answers: Tensor, *rest: Any, **more: Any) -> None:
        seen.append((x, answers))
        train(student, x, answers, *rest, **more)

    monkeypatch.setattr(module, "train", remember)
    audit = make_audit(milestones=(500,))
    run_audit(audit)
    assert [len(x) for x, _ in seen] == [500, 1500]
    for x, answers in seen:
        torch.testing.assert_close(audit.loaded.answer(x / 255), answers)
