"""DisGUIDE and Dual Students: a generator that costs no query."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingOracle
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import Tensor, nn

from clonecost.attacks import dual_students
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.disguide import Disguide, disagreement, grey, negative_entropy
from clonecost.attacks.dual_students import DualStudents
from clonecost.audit import run_audit
from clonecost.networks import build_generator
from clonecost.networks.soft_vote import SoftVote
from clonecost.result import metric_value
from clonecost.training.losses import kl
from clonecost.training.replay_buffer import Replay
from clonecost.training.student_loss import imitation
from clonecost.types import AnswerKind, LabelledInputs, Shape, as_bytes, as_pixels

Pair = Disguide | DualStudents
both = pytest.mark.parametrize("name", ["disguide", "dual_students"])


def rounded(inputs: Tensor, /) -> Tensor:
    """Exact zeros, as of an API that rounds."""
    probs = (inputs.flatten(1) @ torch.linspace(-9, 9, 64 * CLASSES).view(64, -1)).softmax(1)
    coarse = probs.mul(10).round().div(10)
    return coarse / coarse.sum(1, keepdim=True)


def small(name: str, **changes: object) -> Pair:
    attack = toy_attack(name)
    assert isinstance(attack, Disguide | DualStudents)
    return dataclasses.replace(attack, **changes)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Ran:
    """An attack that ran without an audit."""

    oracle: RecordingOracle
    clones: list[nn.Module]
    students: list[nn.Module]
    counted: list[list[int]]  # before each question: batches that each student's BatchNorm has seen


def run(
    attack: Pair, iterations: int, answers: AnswerKind = "probs",
    build: Callable[[], nn.Module] = toy_student,
) -> Ran:  # fmt: skip
    students: list[nn.Module] = []
    counted: list[list[int]] = []

    def student() -> nn.Module:
        students.append(build())
        return students[-1]

    def count() -> None:
        counted.append([int(s.state_dict().get("2.num_batches_tracked", 0)) for s in students])

    budget = iterations * attack.queries_per_iteration
    oracle = RecordingOracle(budget, rounded, answers=answers, before=count)
    kit = AttackerKit(
        student=student,
        generator=lambda latent, *, width: build_generator(latent, SHAPE, width=width),
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=budget,
    )  # fmt: skip
    return Ran(oracle, list(attack.run(oracle, kit)), students, counted)


def test_what_an_iteration_costs() -> None:
    assert Disguide().queries_per_iteration == 256
    assert Disguide(clone_steps=2).queries_per_iteration == 512
    assert DualStudents().queries_per_iteration == 1_280


def test_disguides_schedule() -> None:
    attack = Disguide()
    assert 20_000_000 // attack.queries_per_iteration == 78_125
    decays = attack.decay_epochs(20_000_000)
    assert decays == [208, 416]
    rates = [attack.rate(past, decays) for past in range(521)]
    assert [e for e in range(1, 521) if rates[e] != rates[e - 1]] == decays
    assert rates[0] == 1
    assert rates[-1] == pytest.approx(0.09)


def test_dual_students_schedule_is_laid_out_over_the_budget() -> None:
    attack = DualStudents()
    assert 20_000_000 // attack.queries_per_iteration == 15_625
    assert attack.decays(1_280 * 1000) == [100, 300, 500]
    assert attack.rate(99, [100, 300, 500]) == 1
    assert attack.rate(500, [100, 300, 500]) == pytest.approx(0.027)


def test_disagreement_of_two_is_their_distance_by_root_two() -> None:
    p = torch.randn(2, 50, 10).softmax(2)
    torch.testing.assert_close(disagreement(p), (p[0] - p[1]).abs().mean() / math.sqrt(2))


def test_diversity_is_least_when_all_classes_come_up() -> None:
    even = torch.eye(4).expand(2, 4, 4)
    one = torch.eye(4)[:1].expand(2, 4, 4)
    assert float(negative_entropy(even)) == pytest.approx(-math.log(4), abs=1e-4)
    assert float(negative_entropy(one)) == pytest.approx(0, abs=1e-4)


def test_clones_that_agree_give_no_nan() -> None:
    p = torch.full((2, 3, 4), 0.25, requires_grad=True)
    (negative_entropy(p) - disagreement(p)).backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


def test_every_eighth_image_is_grey_and_its_copies_have_no_gradient() -> None:
    images = torch.rand(20, 3, 4, 4, requires_grad=True)
    out = grey(images, 8, torch.Generator().manual_seed(0))
    same = (out == out[:, :1]).all(3).all(2).all(1)
    assert same.nonzero().flatten().tolist() == [0, 8, 16]
    for k in (0, 8, 16):
        assert any(torch.equal(out[k, 0], images[k, c]) for c in range(3))
    out.sum().backward()
    assert images.grad is not None
    assert images.grad[[0, 8, 16]].sum((1, 2, 3)).tolist() == [16] * 3  # one channel of three
    assert (images.grad[1:8] == 1).all()


@pytest.mark.parametrize(("channels", "every"), [(1, 8), (4, 8), (3, 0)])
def test_nothing_else_turns_grey(channels: int, every: int) -> None:
    images = torch.rand(9, channels, 4, 4)
    assert grey(images, every, torch.Generator()) is images


def test_imitation_sums_over_students() -> None:
    z, s = torch.randn(6, 5), [torch.randn(6, 5), torch.randn(6, 5)]
    answers = z.softmax(1)
    centred = z - z.mean(1, keepdim=True)
    soft = sum((a - centred).abs().mean() for a in s)
    torch.testing.assert_close(imitation(s, answers, hard=False), soft)
    top = nn.functional.one_hot(z.argmax(1), 5).float()
    hard = sum(kl(a, top).mean() for a in s)
    torch.testing.assert_close(imitation(s, answers, hard=True), hard)


def test_kl_is_the_other_loss_of_students() -> None:
    logits, answers = [torch.zeros(1, 2)], torch.tensor([[1.0, 0.0]])
    found = imitation(logits, answers, hard=False, loss="kl")
    torch.testing.assert_close(found, torch.tensor(math.log(2)))


@both
def test_images_are_rounded_before_they_are_asked(name: str) -> None:
    more: dict[str, object] = {} if name == "disguide" else {"replay_steps": 2}
    asked_three_times = run(small(name, **more), 3).oracle.asked
    assert len(asked_three_times) == 3
    for asked in asked_three_times:
        assert torch.equal(as_pixels(as_bytes(asked)), asked)


@both
def test_students_batch_norm_stands_still_in_the_generator_step(name: str) -> None:
    """Counted where the victim is asked: only student steps and replay have moved it."""
    replays = 3 if name == "disguide" else 2
    attack = small(name, generator_steps=4, replay_steps=replays, student_optimizer="adam")
    ran = run(attack, 3)
    steps = attack.clone_steps if isinstance(attack, Disguide) else attack.student_steps
    assert ran.counted == [[k * (steps + replays)] * 2 for k in range(3)]


@pytest.mark.parametrize("hard", [False, True])
def test_gradient_of_the_generator_is_exact(hard: bool) -> None:
    """Against differences in float64, through students in eval mode."""
    torch.manual_seed(0)
    one, two = (toy_student().double().eval() for _ in range(2))

    def lose(x: Tensor) -> Tensor:
        p = torch.stack([one(x).softmax(1), two(x).softmax(1)])
        return 0.2 * negative_entropy(p) - disagreement(p)

    def dual(x: Tensor) -> Tensor:
        return dual_students.disagreement(one(x), two(x), hard=hard)

    x = torch.rand(3, *SHAPE, dtype=torch.float64, requires_grad=True)
    for function in (lose, dual):
        assert torch.autograd.gradcheck(function, x)


@both
@pytest.mark.parametrize("answers", ["probs", "label"])
def test_zeros_and_rounding_leave_all_weights_finite(name: str, answers: AnswerKind) -> None:
    clones = run(small(name), 30, answers).clones
    assert all(torch.isfinite(w).all() for w in clones[-1].state_dict().values())


@both
@pytest.mark.parametrize("answers", ["probs", "label"])
def test_generator_climbs_the_disagreement(name: str, answers: AnswerKind) -> None:
    """With students that stand still, its own steps must raise what it is paid to raise."""
    more: dict[str, object] = {"diversity": 0.0, "replay_steps": 0} if name == "disguide" else {}
    attack = small(name, student_lr=0.0, generator_lr=3e-3, decay_at=(), **more)
    # no batch norm: its statistics would move although the weights do not
    ran = run(attack, 100, answers, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)))
    with torch.no_grad():
        one, two = ([s(images).softmax(1) for images in ran.oracle.asked] for s in ran.students)
    apart = torch.stack([(a - b).abs().mean() for a, b in zip(one, two, strict=True)])
    assert apart[-10:].mean() > 1.2 * apart[:10].mean()


def test_replay_learns_without_asking() -> None:
    ran, without = run(small("disguide"), 4), run(small("disguide", replay_steps=0), 4)
    assert [len(x) for x in ran.oracle.asked] == [len(x) for x in without.oracle.asked]
    one, two = ran.clones[-1].state_dict(), without.clones[-1].state_dict()
    assert any(not torch.equal(one[key], two[key]) for key in one)


def test_the_clone_is_saved_as_the_vote_it_is(
    make_audit: MakeAudit, test_set: LabelledInputs, tmp_path: Path
) -> None:
    result = run_audit(make_audit("disguide", out=tmp_path / "vote"))
    file = tmp_path / "vote" / "clone.safetensors"
    with safe_open(file, "pt") as opened:
        about = json.loads(opened.metadata()["clonecost"])
    assert about["vote"] == "mean of softmax"
    loaded = SoftVote([toy_student() for _ in range(int(about["members"]))])
    loaded.load_state_dict(load_file(file))
    guess = loaded.eval()(test_set.rows(slice(None))).argmax(1)
    accuracy = float((guess == test_set.labels).float().mean())
    # what was scored is saved
    assert accuracy == pytest.approx(metric_value(result.curve[-1], "accuracy"))


@pytest.mark.parametrize("attack", [small("dual_students"), small("disguide", vote=False)])
def test_a_single_network_is_described_as_before(
    attack: Pair, make_audit: MakeAudit, tmp_path: Path
) -> None:
    run_audit(make_audit(attack, out=tmp_path / "one"))
    with safe_open(tmp_path / "one" / "clone.safetensors", "pt") as opened:
        about = json.loads(opened.metadata()["clonecost"])
    assert set(about) == {"network", "input_shape", "num_classes"}


@both
def test_generator_stands_still_while_the_students_learn(name: str) -> None:
    """Its BatchNorm has seen the batches of its own steps only."""
    made: list[nn.Module] = []

    def remember(latent_dim: int, *, width: int) -> nn.Module:
        made.append(build_generator(latent_dim, SHAPE, width=width))
        return made[-1]

    attack = small(name, generator_steps=2)
    oracle = RecordingOracle(3 * attack.queries_per_iteration)
    kit = AttackerKit(
        student=toy_student, generator=remember, rng=torch.Generator().manual_seed(0),
        device=torch.device("cpu"), horizon=oracle.threat.query_budget,
    )  # fmt: skip
    list(attack.run(oracle, kit))
    counts = {int(v) for k, v in made[0].state_dict().items() if k.endswith("batches_tracked")}
    assert counts == {3 * 2}


def test_a_larger_budget_does_not_make_the_ring_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def ring(capacity: int, shape: Shape, classes: int, device: torch.device) -> Replay:
        made.append(capacity)
        return Replay(capacity, shape, classes, device)

    monkeypatch.setattr("clonecost.attacks.disguide.Replay", ring)
    kit = AttackerKit(
        student=toy_student,
        generator=lambda latent, *, width: build_generator(latent, SHAPE, width=width),
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=64,
    )  # fmt: skip
    list(small("disguide").run(RecordingOracle(320), kit))
    list(small("disguide", replay_rows=96).run(RecordingOracle(320), kit))
    assert made == [320, 96]
