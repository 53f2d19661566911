"""The bandit of Knockoff Nets, against the formulas and the defects of its known versions."""

import pytest
import torch
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingOracle, RecordingVictim
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.knockoff_adaptive import (
    KnockoffAdaptive,
    certainty,
    diversity,
    gradient,
    mean_reward,
)
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.types import LabelledInputs, Victim

PLACES = 8_192  # more than any pool here has rows


def test_rewards() -> None:
    answers = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(certainty(answers), torch.tensor([0.5, 0.0, 1.0]))
    mean = torch.tensor([0.5, 0.3, 0.2])
    torch.testing.assert_close(diversity(answers, mean), torch.tensor([0.2, 0.1, 0.7]))


def test_each_reward_is_rescaled_before_the_mean() -> None:
    """A variance of zero divides by zero in a known version."""
    raw = torch.tensor([[1.0, 0.2, 50.0], [1.0, 0.4, 10.0], [1.0, 0.3, 30.0]])
    torch.testing.assert_close(mean_reward(raw), torch.tensor([1 / 3, 1 / 3, 1 / 3]))
    assert mean_reward(torch.ones(4, 3)).tolist() == [0, 0, 0, 0]


def test_a_batch_is_the_sum_of_the_papers_steps() -> None:
    rng = torch.Generator().manual_seed(0)
    policy = torch.rand(5, generator=rng).softmax(0)
    drawn = torch.randint(5, (20,), generator=rng)
    pulls = drawn.bincount(minlength=5) + 3.0
    reward = torch.rand(50, generator=rng)
    want = torch.zeros(5)
    for z, r in zip(drawn.tolist(), reward[-20:].tolist(), strict=True):
        step = (r - float(reward.mean())) / float(pulls[z])
        for other in range(5):
            p = float(policy[other])
            want[other] += step * (1 - p) if other == z else -step * p
    torch.testing.assert_close(gradient(policy, pulls, drawn, reward), want)


def sure_about_bright_rows(inputs: Tensor, /) -> Tensor:
    """Sure and varied about bright rows, clueless about dark ones."""
    sure = torch.eye(CLASSES)[places(inputs) % CLASSES]
    bright = inputs[:, 0, 1:].mean((1, 2)).view(-1, 1) > 0.5
    return torch.where(bright, sure, torch.full_like(sure, 1 / CLASSES))


def places(inputs: Tensor) -> Tensor:
    """In the pool of `drawn`: a row's first pixel says."""
    return inputs[:, 0, 0, 0].mul(PLACES).round().long()


def drawn(labels: Tensor, budget: int, **settings: int) -> Tensor:
    """Places in a pool of dark rows (label 0) and bright ones, in the order of the questions."""
    inputs = torch.where(labels.view(-1, 1, 1, 1) > 0, 0.9, 0.1).expand(-1, *SHAPE).clone()
    inputs[:, 0, 0, 0] = torch.arange(len(labels)) / PLACES
    kit = AttackerKit(
        student=toy_student, generator=lambda d, *, width: nn.Identity(),
        proxy=LabelledInputs(inputs, labels), rng=torch.Generator().manual_seed(0),
        device=torch.device("cpu"), horizon=budget,
    )  # fmt: skip
    oracle = RecordingOracle(budget, sure_about_bright_rows)
    list(KnockoffAdaptive(recipe="shared", epochs=1, **settings).run(oracle, kit))
    return places(torch.cat(oracle.asked))


def test_the_bandit_learns_which_class_is_worth_asking() -> None:
    labels = torch.arange(6_000) % 2
    asked = labels[drawn(labels, 2_000, batch_size=20, window=400)].float()
    assert abs(float(asked[:60].mean()) - 0.5) < 0.2
    assert float(asked[-500:].mean()) > 0.75


def test_no_row_is_drawn_twice_until_all_were() -> None:
    labels = torch.arange(300) % 3
    asked = drawn(labels, 700, batch_size=32)
    for lap in (asked[:300], asked[300:600]):
        assert sorted(lap.tolist()) == list(range(300))
    assert len(set(asked[600:].tolist())) == 100


def test_a_single_row_that_is_left_of_the_pool_is_asked_too() -> None:
    labels = torch.arange(65) % 2
    asked = drawn(labels, 130, batch_size=32)
    assert sorted(asked[:65].tolist()) == sorted(asked[65:].tolist()) == list(range(65))


def test_labels_that_skip_numbers_are_classes_all_the_same() -> None:
    assert len(drawn(torch.tensor([0, 7, 7, 90] * 20), 80, batch_size=16).unique()) == 80


@pytest.mark.parametrize("label", [0, -1])
def test_a_pool_without_classes_is_refused_before_anything_is_asked(
    label: int, victim: Victim, proxy: LabelledInputs, make_audit: MakeAudit
) -> None:
    pool = LabelledInputs(proxy.inputs, torch.full((len(proxy),), label), (), "pictures")
    counting = RecordingVictim(victim)
    attack = toy_attack("knockoff_adaptive")
    with pytest.raises(
        SpecError, match=r"labels of two classes or more, and pictures has none\. Set `proxy`"
    ):
        run_audit(make_audit(attack, victim=counting, proxy=pool))
    assert counting.seen == 0
