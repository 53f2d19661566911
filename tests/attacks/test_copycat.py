"""Copycat CNN: labels alone, and copies that nobody pays for."""

from typing import Any

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor, nn

from clonecost.attacks import copycat
from clonecost.attacks.copycat import PAPER, Copycat, balanced
from clonecost.audit import run_audit
from clonecost.query_synthesis.copycat_augmentation import VIEWS
from clonecost.training.recipes import train
from clonecost.types import Victim


def some(counts: list[int]) -> tuple[Tensor, Tensor]:
    """Images with a value per row, so that copies can be told, and labels in random order."""
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    rows = torch.arange(len(labels), dtype=torch.uint8)
    return rows.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous(), labels


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """(rows, operators) of each call; the images pass unchanged."""
    seen: list[tuple[Tensor, Tensor]] = []

    def remember(images: Tensor, which: Tensor, rng: torch.Generator) -> Tensor:
        seen.append((images[:, 0, 0, 0].long(), which))
        return images

    monkeypatch.setattr(copycat, "vary", remember)
    return seen


def test_small_classes_are_filled_and_large_ones_left(
    operators: list[tuple[Tensor, Tensor]],
) -> None:
    x, y = some([30, 7, 0, 1])
    inputs, labels = balanced(x, y, None, torch.Generator().manual_seed(1))
    assert labels.bincount().tolist() == [30, 30, 0, 30]  # nothing comes of nothing
    assert torch.equal(inputs[:38], x)
    assert torch.equal(labels[:38], y)
    ((source, which),) = operators
    assert torch.equal(labels[38:], y[source])  # a copy keeps the label of what it copies
    whole = 3 * 7  # 23 are lacking of 7: three operators over all of them, one over two
    passes = which[:whole].view(3, 7)
    assert (passes == passes[:, :1]).all()
    assert len(passes[:, 0].unique()) == 3
    single = which[23:]  # 29 copies of one image: all operators before any comes again
    assert sorted(single[: len(VIEWS)].tolist()) == list(range(len(VIEWS)))


def test_per_class_is_a_number_that_larger_classes_may_exceed(
    operators: list[tuple[Tensor, Tensor]],
) -> None:
    x, y = some([30, 7, 12])
    _, labels = balanced(x, y, 10, torch.Generator().manual_seed(1))
    assert labels.bincount().tolist() == [30, 10, 12]
    whole, same = balanced(x, y, 5, torch.Generator())
    assert whole is x
    assert same is y


def test_copies_cost_nothing_and_only_labels_are_learnt(
    victim: Victim, make_audit: MakeAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def remember(student: nn.Module, x: Tensor, answers: Tensor, *rest: Any, **more: Any) -> None:
        seen.append((x, answers))
        train(student, x, answers, *rest, **more)

    monkeypatch.setattr(copycat, "train", remember)
    counting = RecordingVictim(victim)
    audit = make_audit(Copycat(recipe="shared", epochs=1), victim=counting, milestones=())
    result = run_audit(audit)
    assert counting.seen - 400 == result.spent == 1_500
    ((inputs, answers),) = seen
    counts = answers.sum(0)
    assert len(inputs) > 1_500
    assert (counts == counts.max()).all()
    assert set(answers.unique().tolist()) == {0, 1}
    named = victim(inputs[:1_500].float() / 255).argmax(1)
    assert torch.equal(answers[:1_500].argmax(1), named)
    off = run_audit(make_audit(Copycat(recipe="shared", epochs=1, balance=False), milestones=(),
                               out=audit.folder.parent / "off"))  # fmt: skip
    assert off.spent == 1_500
    assert len(seen[-1][0]) == 1_500


def test_the_papers_recipe() -> None:
    assert (PAPER.optimizer, PAPER.lr, PAPER.momentum, PAPER.weight_decay) == (
        "sgd", 1e-4, 0.9, 5e-4,
    )  # fmt: skip
    assert (PAPER.batch_size, PAPER.epochs, PAPER.step_decay) == (32, 5, 0.1)
