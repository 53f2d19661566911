"""JBDA, also against the defects of its published code (points overwritten, sets relabelled)."""

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import Tensor, nn

from clonecost.attacks import jbda
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.jbda import Jbda, jacobian_signs
from clonecost.audit import run_audit
from clonecost.training.distill import Recipe, distill
from clonecost.types import LabelledInputs, ThreatModel, Victim, as_pixels

Sets = list[tuple[Tensor, Tensor, Recipe]]


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> Sets:
    """What each training of the substitute is given."""
    seen: Sets = []

    def remember(student: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, **more: object) -> None:
        seen.append((x.clone(), y.clone(), recipe))
        distill(student, x, y, recipe, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(jbda, "distill", remember)
    return seen


@pytest.fixture
def all_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy's straight substitute often leads to a point twice; here such a point is kept."""
    monkeypatch.setattr(jbda, "unseen", lambda keys, before: torch.ones_like(keys).bool())


def sizes(make_audit: MakeAudit, victim: Victim, attack: Jbda, budget: int) -> list[int]:
    """Rows of each call of the victim after the test set."""
    calls: list[int] = []

    def counting(inputs: Tensor) -> Tensor:
        calls.append(len(inputs))
        return victim(inputs)

    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget)
    run_audit(make_audit(attack, victim=counting, threat=threat, milestones=()))
    return list(_after(calls, 400))


def _after(calls: list[int], rows: int) -> Iterator[int]:
    done = 0
    for call in calls:
        if done >= rows:
            yield call
        done += call


def test_the_published_constants() -> None:
    attack = Jbda()
    assert (attack.seeds, attack.rounds, attack.epochs, attack.step) == (150, 6, 10, 0.1)
    assert "4,800 rows" in attack.plan(10_000)
    assert "300 rows" in attack.plan(300)


@pytest.mark.usefixtures("all_new")
def test_new_points_follow_the_old_ones_which_stay_as_they_were(
    make_audit: MakeAudit, trained_on: Sets, victim: Victim
) -> None:
    run_audit(make_audit(Jbda(seeds=50, rounds=4, epochs=1), milestones=()))
    assert [len(x) for x, _, _ in trained_on] == [50, 100, 200, 400]
    for (old, _, _), (both, answers, recipe) in itertools.pairwise(trained_on):
        n = len(old)
        assert torch.equal(both[:n], old)
        moved = as_pixels(both[n:]) - as_pixels(old)
        assert moved.abs().max() <= 0.1 + 0.6 / 255  # one step from the point of the same place
        assert (moved.abs().amax((1, 2, 3)) > 0.09).all()
        torch.testing.assert_close(answers, victim(as_pixels(both)))  # every row its own answer
        assert (recipe.optimizer, recipe.lr, recipe.batch_size) == ("adam", 1e-3, 128)


@pytest.mark.usefixtures("all_new")
def test_only_new_points_are_paid_for(make_audit: MakeAudit, victim: Victim) -> None:
    assert sizes(make_audit, victim, Jbda(seeds=50, rounds=4, epochs=1), 1_500) == [
        50,
        50,
        100,
        200,
    ]


@pytest.mark.usefixtures("all_new")
def test_what_does_not_fit_into_the_budget_is_not_asked(
    make_audit: MakeAudit, victim: Victim, trained_on: Sets
) -> None:
    assert sizes(make_audit, victim, Jbda(seeds=50, rounds=9, epochs=1), 270) == [50, 50, 100, 70]
    assert len(trained_on[-1][0]) == 270  # and what was asked is learnt


@pytest.mark.usefixtures("all_new")
def test_after_sigma_doublings_a_round_adds_kappa_points(
    make_audit: MakeAudit, victim: Victim
) -> None:
    attack = Jbda(seeds=20, rounds=5, reservoir_after=2, reservoir=7, epochs=1)
    assert sizes(make_audit, victim, attack, 1_500) == [20, 20, 40, 7, 7]
    assert "94 rows" in attack.plan(10_000)  # n 2^sigma + kappa (rho - sigma)


@pytest.mark.usefixtures("all_new")
def test_the_step_changes_its_sign_every_tau_rounds(
    make_audit: MakeAudit, trained_on: Sets, monkeypatch: pytest.MonkeyPatch, proxy: LabelledInputs
) -> None:
    monkeypatch.setattr(jbda, "jacobian_signs", lambda network, x, y, *, of: torch.ones_like(x))
    grey = LabelledInputs(torch.full((8, *SHAPE), 128, dtype=torch.uint8), torch.zeros(8).long())
    run_audit(make_audit(Jbda(seeds=8, rounds=6, epochs=1), proxy=grey, milestones=()))
    steps = [int(x[len(x) // 2, 0, 0, 0]) - 128 for x, _, _ in trained_on[1:]]
    assert [1 if step > 0 else -1 for step in steps] == [1, 1, 1, -1, -1]


def straight() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))


def test_no_point_is_paid_for_twice(make_audit: MakeAudit, victim: Victim) -> None:
    """With a sign that flips each round, a straight substitute would lead back to the seeds."""
    counting = RecordingVictim(victim)
    attack = Jbda(seeds=100, rounds=5, step_period=1, epochs=1)
    run_audit(make_audit(attack, victim=counting, student=straight, milestones=()))
    asked = counting.rows[400:]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("of", ["probabilities", "logits"])
def test_signs_are_those_of_each_row_alone(of: str) -> None:
    """The published code goes through the rows one by one, in train mode."""
    torch.manual_seed(0)
    network = toy_student().double()
    network(torch.rand(64, *SHAPE).double())  # moves the statistics of its BatchNorm
    x, y = torch.rand(600, *SHAPE).double(), torch.randint(CLASSES, (600,))
    found = jacobian_signs(network, x, y, of=of)  # type: ignore[arg-type]
    assert network.training
    network.eval()
    for k in (0, 1, 511, 512, 599):
        at = x[k : k + 1].requires_grad_()
        out = network(at).softmax(1) if of == "probabilities" else network(at)
        (want,) = torch.autograd.grad(out[0, y[k]], at)
        assert torch.equal(found[k : k + 1], want.sign())


def test_a_sure_substitute_still_has_a_direction() -> None:
    """d softmax underflows to 0 where a class has no chance; its sign does not."""
    linear = nn.Linear(64, CLASSES)
    with torch.no_grad():
        linear.bias.copy_(torch.tensor([300.0, 0, 0]))
    sure = nn.Sequential(nn.Flatten(), linear)
    signs = jacobian_signs(sure, torch.rand(4, *SHAPE), torch.tensor([1, 2, 1, 2]),
                           of="probabilities")  # fmt: skip
    assert (signs != 0).all()


def test_labels_suffice_and_looks_may_fall_into_a_round(
    make_audit: MakeAudit, threat: ThreatModel
) -> None:
    labels = dataclasses.replace(threat, answers="label", query_budget=600)
    attack = Jbda(seeds=100, epochs=2)
    looked = run_audit(make_audit(attack, threat=labels, milestones=(150, 200, 350)))
    assert [score.queries for score in looked.curve] == [150, 200, 350, 600]


def test_too_few_seeds_are_all_taken() -> None:
    pool = LabelledInputs(torch.rand(5, *SHAPE), torch.zeros(5, dtype=torch.int64))
    kit = AttackerKit(
        student=toy_student, generator=lambda d, *, width: nn.Identity(), proxy=pool,
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=10,
    )  # fmt: skip

    class Door:
        threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=10)
        spent = 0

        @property
        def remaining(self) -> int:
            return 10 - self.spent

        def __call__(self, inputs: Tensor) -> Tensor:
            self.spent += len(inputs)
            return torch.eye(CLASSES)[torch.arange(len(inputs)) % CLASSES]

    door = Door()
    assert len(list(Jbda(epochs=1).run(door, kit))) == 2  # type: ignore[arg-type]
    assert door.spent == 10
