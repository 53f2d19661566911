"""ActiveThief and MARICH: what is chosen, by students whose answers are known."""

import dataclasses

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, MakeAudit, toy_student
from torch import Tensor, nn

from clonecost.attacks.active_thief import ActiveThief, Strategy, shuffled
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.marich import Marich
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.query_synthesis.active_selection import entropy_gradients, k_centre
from clonecost.training.losses import entropy
from clonecost.types import LabelledInputs, ProxyData, ThreatModel, Victim


@pytest.fixture
def kit(proxy: LabelledInputs) -> AttackerKit:
    return AttackerKit(
        student=toy_student, generator=lambda d, *, width: nn.Identity(), proxy=proxy,
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=1_500,
    )  # fmt: skip


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A linear student that stands in for all that would be trained."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    with torch.no_grad():
        linear[1].weight.mul_(5)  # type: ignore[operator]
    monkeypatch.setattr(ActiveThief, "trained_student", lambda *_: linear)
    return linear


def choose(strategy: Strategy, kit: AttackerKit) -> tuple[Tensor, Tensor]:
    """(what is chosen, all that was left): 300 of 4,000 rows were asked."""
    assert kit.proxy is not None
    left = torch.ones(4_000, dtype=torch.bool)
    asked = torch.arange(300)
    left[asked] = False
    attack = ActiveThief(strategy=strategy, round_rows=200, shortlist=3)
    answers = torch.eye(CLASSES)[asked % CLASSES]
    return attack.choose(kit.proxy, left, asked, answers, kit), left.nonzero().flatten()


def others(left: Tensor, chosen: Tensor) -> Tensor:
    return left[~torch.isin(left, chosen)]


@pytest.mark.parametrize("strategy", ["uncertainty", "k_centre", "dfal", "dfal+k_centre", "random"])
def test_rows_are_new_and_no_two_the_same(
    strategy: Strategy, kit: AttackerKit, judge: nn.Module
) -> None:
    chosen, left = choose(strategy, kit)
    assert len(chosen.unique()) == 200
    assert torch.isin(chosen, left).all()


def test_uncertainty_takes_the_greatest_entropy(kit: AttackerKit, judge: nn.Module) -> None:
    chosen, left = choose("uncertainty", kit)
    assert kit.proxy is not None
    h = entropy(judge(kit.proxy.rows(slice(None))).softmax(1))
    assert h[chosen].min() >= h[others(left, chosen)].max()


def margins(judge: nn.Module, proxy: ProxyData) -> Tensor:
    """Exact distances of a linear student's boundary."""
    f, w = judge(proxy.rows(slice(None))), judge[1].weight  # type: ignore[index]
    top = f.argmax(1, keepdim=True)
    far = (f.gather(1, top) - f) / (w[top.flatten()].unsqueeze(1) - w).norm(dim=2)
    return far.scatter(1, top, float("inf")).amin(1)


def test_dfal_takes_what_is_nearest_to_the_boundary(kit: AttackerKit, judge: nn.Module) -> None:
    chosen, left = choose("dfal", kit)
    assert kit.proxy is not None
    far = margins(judge, kit.proxy)
    assert far[chosen].max() <= far[others(left, chosen)].min() * 1.001


def test_the_combination_is_k_centre_among_what_dfal_likes(
    kit: AttackerKit, judge: nn.Module
) -> None:
    chosen, left = choose("dfal+k_centre", kit)
    assert kit.proxy is not None
    far = margins(judge, kit.proxy)
    liked = left[far[left].topk(600, largest=False).indices]
    assert torch.isin(chosen, liked).all()
    p = judge(kit.proxy.rows(slice(None))).softmax(1)
    want = liked[k_centre(p[liked], p[:300], 200)]
    assert set(chosen.tolist()) == set(want.tolist())
    alone, _ = choose("k_centre", kit)
    reach = [torch.cdist(p[left], p[rows]).amin(1).max() for rows in (alone, left[:200])]
    assert reach[0] < reach[1]  # it covers what chance does not


def test_better_than_chance_where_chance_is_poor(
    make_audit: MakeAudit, victim: Victim, proxy: LabelledInputs
) -> None:
    """Nine tenths of the pool are white and teach nothing: a choice must avoid them."""
    inputs = proxy.inputs.clone()
    inputs[400:] = 254 + torch.arange(3_600).view(-1, 1, 1, 1) % 2
    pool = dataclasses.replace(proxy, inputs=inputs)
    counting = RecordingVictim(victim)
    run_audit(make_audit("active_thief", victim=counting, proxy=pool, milestones=()))
    useful = {row.numpy().tobytes() for row in pool.rows(slice(0, 400))}
    assert sum(row in useful for row in counting.rows[400:]) > 250  # chance: 150


def test_marich_asks_what_passes_three_sieves(kit: AttackerKit, judge: nn.Module) -> None:
    assert kit.proxy is not None
    left = torch.ones(4_000, dtype=torch.bool)
    asked = torch.arange(300)
    left[asked] = False
    answers = torch.eye(CLASSES)[asked % CLASSES]
    attack = Marich(round_rows=200)
    chosen = attack.choose(judge, kit.proxy, left, asked, answers, kit, 0)
    assert len(chosen) == len(chosen.unique()) == 128  # .8 * .8 * 200
    assert len(attack.choose(judge, kit.proxy, left, asked, answers, kit, 10)) == 141  # 220
    p = judge(kit.proxy.rows(slice(None))).softmax(1)
    rest = left.nonzero().flatten()
    uncertain = rest[entropy(p)[rest].topk(200).indices]
    assert torch.isin(chosen, uncertain).all()
    losses = -(answers * p[:300].log()).sum(1)
    wrong = p[:300][losses.topk(160).indices]
    near = torch.cdist(p[uncertain], wrong).amin(1)
    like_wrong = uncertain[near.topk(160, largest=False).indices]
    assert torch.isin(chosen, like_wrong).all()
    g = entropy_gradients(judge, kit.proxy.rows(like_wrong))
    assert set(chosen.tolist()) == set(like_wrong[k_centre(g, g[:0], 128)].tolist())


def test_marichs_student_trains_on_and_its_constants() -> None:
    attack = Marich()
    assert (attack.seed_rows, attack.round_rows, attack.gamma1, attack.gamma2) == (
        500,
        750,
        0.8,
        0.8,
    )
    assert (attack.round_epochs, attack.lr) == (8, 0.02)
    with pytest.raises(SpecError, match=r"marich\.gamma2 .* got 1.5, want at most 1"):
        Marich(gamma2=1.5)


@pytest.mark.parametrize(("name", "made"), [("marich", 1), ("active_thief", 3)])
def test_from_scratch_or_going_on_as_the_paper_says(
    name: str, made: int, make_audit: MakeAudit, threat: ThreatModel
) -> None:
    """300 + 2 * 400 rows: MARICH has one student; ActiveThief one a choice, and the clone."""
    built: list[nn.Module] = []

    def student() -> nn.Module:
        built.append(toy_student())
        return built[-1]

    small = dataclasses.replace(threat, query_budget=1_100, answers="label")
    # with the threads stated, the audit builds no student to choose them
    run_audit(make_audit(name, student=student, threat=small, milestones=(), threads=1))
    assert len(built) == 1 + made  # the first one is checked before a row is sent


def test_shuffled_is_a_permutation_of_the_rows_left(kit: AttackerKit) -> None:
    left = torch.tensor([True, False, True, True])
    assert sorted(shuffled(left, kit).tolist()) == [0, 2, 3]
