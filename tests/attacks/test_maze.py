"""MAZE, MAZE-PD and MAZE*: what they ask, what they replay, and in which mode networks work."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingOracle, linear_answers
from tests.support.toys import SHAPE, toy_student
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.maze import Maze, annealed
from clonecost.attacks.maze_pd import CriticPrior, MazePd
from clonecost.attacks.maze_star import MazeStar
from clonecost.errors import SpecError
from clonecost.networks import build_generator
from clonecost.training.replay_buffer import Replay
from clonecost.types import LabelledInputs, as_bytes, as_pixels

CPU = torch.device("cpu")


def kit(budget: int, proxy: LabelledInputs | None = None, **more: Any) -> AttackerKit:
    settings: dict[str, Any] = {
        "student": toy_student, "proxy": proxy, "device": CPU, "horizon": budget,
        "generator": lambda latent, *, width: build_generator(latent, SHAPE, width=width),
        "rng": torch.Generator().manual_seed(0),
    }  # fmt: skip
    return AttackerKit(**{**settings, **more})


def toy(name: str, **changes: Any) -> Any:
    return replace(toy_attack(name), **changes)  # type: ignore[type-var]


def test_iterations_cost_what_the_papers_codes_pay() -> None:
    assert Maze().queries_per_iteration == MazePd().queries_per_iteration == 1_920
    assert MazeStar().queries_per_iteration == 2_048
    assert 5_000_000 // 1_920 == 2_604
    assert 30_000_000 // Maze().queries_per_iteration == 15_625


@pytest.mark.parametrize(("name", "cost"), [("maze", 1_920), ("maze_star", 2_048)])
def test_at_published_sizes_so_many_rows_arrive(name: str, cost: int) -> None:
    published: dict[str, Any] = {"maze": Maze, "maze_star": MazeStar}
    attack = published[name](generator_width=4, latent_dim=8)
    oracle = RecordingOracle(2 * cost + cost - 1)
    assert len(list(attack.run(oracle, kit(oracle.threat.query_budget)))) == 2
    fresh = 4 if name == "maze" else 5
    around = [128, 128 * 10] if name == "maze" else [128 * 11]  # MAZE learns from base points
    assert [len(x) for x in oracle.asked] == [*around, 128 * fresh] * 2
    purposes = ["training", "gradients"] if name == "maze" else ["gradients"]
    assert oracle.purposes == [*purposes, "training"] * 2
    assert oracle.spent == 2 * cost


def test_rates_fall_along_half_a_cosine() -> None:
    optimizer, fall = annealed(nn.Linear(2, 2), 0.1, 4)
    rates = []
    for _ in range(5):
        rates += fall.get_last_lr()
        optimizer.step()
        fall.step()
    assert rates == pytest.approx([0.1, 0.085355, 0.05, 0.014645, 0], abs=1e-6)


def test_replays_what_was_asked_and_the_clone_learns_the_base_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rings: list[Replay] = []
    keep = Replay.add

    def add(ring: Replay, images: Tensor, answers: Tensor) -> None:
        rings.append(ring)
        keep(ring, images, answers)

    monkeypatch.setattr(Replay, "add", add)
    attack = toy("maze")
    budget = 3 * attack.queries_per_iteration
    oracle = RecordingOracle(budget)
    list(attack.run(oracle, kit(budget)))
    ring = rings[-1]
    asked = torch.cat([x[-16:] for x in oracle.asked[2::3]])  # the last batch of each iteration
    assert torch.equal(as_pixels(ring.images), asked)
    assert torch.equal(ring.answers, torch.cat([v[-16:] for v in oracle.answered[2::3]]))
    assert torch.equal(ring.answers, linear_answers(as_pixels(ring.images)))


def test_a_small_memory_keeps_the_last_batches() -> None:
    attack = toy("maze", memory=16)
    budget = 4 * attack.queries_per_iteration
    assert len(list(attack.run(RecordingOracle(budget), kit(budget)))) == 4


class Noted(nn.Sequential):
    """The toy student: notes its mode and the images it was shown."""

    def __init__(self) -> None:
        super().__init__(*toy_student().children())
        self.seen: list[tuple[bool, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, x.detach().clone()))
        return super().forward(x)


def test_batch_statistics_are_those_of_the_clone_steps_alone() -> None:
    attack = toy("maze", replay_steps=2)
    oracle = RecordingOracle(attack.queries_per_iteration)
    (student,) = attack.run(oracle, kit(oracle.threat.query_budget, student=Noted))
    assert isinstance(student, Noted)
    modes, shown = zip(*student.seen, strict=True)
    assert modes == (False, *[True] * (3 + 2))  # the estimate; N_C; N_R
    assert len(shown[0]) == 16 * 3
    assert torch.equal(shown[1], oracle.asked[0])  # answered already
    assert torch.equal(torch.cat(shown[2:4]), oracle.asked[2])
    norm = next(m for m in student if isinstance(m, nn.BatchNorm1d))
    assert norm.num_batches_tracked == 5  # nothing of the estimate's


def coarse(inputs: Tensor) -> Tensor:
    """Rounded to tenths and often exactly one-hot, as from a half-precision API."""
    probs = (20 * linear_answers(inputs).log()).softmax(1).half().float()
    rounded = (probs * 10).round() / 10
    return rounded / rounded.sum(1, keepdim=True)


@pytest.mark.parametrize("name", ["maze", "maze_pd", "maze_star"])
def test_zeros_and_rounding_make_no_nan(name: str, proxy: LabelledInputs) -> None:
    attack = toy(name)
    oracle = RecordingOracle(6 * attack.queries_per_iteration, coarse)
    clones = list(attack.run(oracle, kit(oracle.threat.query_budget, proxy)))
    assert any((v == 0).any() for v in oracle.answered)
    assert all(p.isfinite().all() for p in clones[-1].state_dict().values())


# the same rate for both: MAZE* does not divide its gradients by B = 16
@pytest.mark.parametrize(("name", "rate"), [("maze", 8e-3), ("maze_star", 5e-4)])
def test_the_generator_climbs_the_disagreement(name: str, rate: float) -> None:
    attack = toy(name, student_lr=0.0, directions=20, generator_lr=rate)
    budget = 80 * attack.queries_per_iteration
    oracle = RecordingOracle(budget)
    student = list(attack.run(oracle, kit(budget)))[-1].eval()
    with torch.no_grad():
        worth = [
            (v * (v.log() - student(x).log_softmax(1))).sum(1).mean()
            for x, v in zip(oracle.asked[2::3], oracle.answered[2::3], strict=True)
        ]
    assert torch.stack(worth[-10:]).mean() > 2 * torch.stack(worth[:10]).mean()


def test_seeds_are_paid_for_first_and_kept(proxy: LabelledInputs) -> None:
    attack = toy("maze_pd")
    budget = attack.seeds + 2 * attack.queries_per_iteration
    oracle = RecordingOracle(budget)
    assert len(list(attack.run(oracle, kit(budget, proxy)))) == 2
    assert oracle.spent == budget
    assert len(oracle.asked[0]) == attack.seeds
    pool = {row.numpy().tobytes() for row in proxy.inputs}
    seeds = {row.numpy().tobytes() for row in as_bytes(oracle.asked[0])}
    assert len(seeds) == attack.seeds
    assert seeds <= pool


def test_what_cannot_begin_is_refused_before_it_asks(proxy: LabelledInputs) -> None:
    attack = toy("maze_pd")
    short = attack.seeds + attack.queries_per_iteration - 1
    for budget, owned, words in (
        (short, proxy, "the seeds and one iteration of maze_pd"),
        (10_000, None, "needs proxy data and got none"),
        (10_000, proxy.take(slice(9)), "got 9, want"),
    ):  # fmt: skip
        oracle = RecordingOracle(budget)
        with pytest.raises(SpecError, match=words):
            next(attack.run(oracle, kit(budget, owned)))
        assert oracle.spent == 0


def critic_prior(attack: MazePd, proxy: LabelledInputs) -> CriticPrior:
    return CriticPrior(attack, proxy.inputs[:40], RecordingOracle(10_000), kit(10_000))


def test_the_penalty_changes_the_critics_gradient(proxy: LabelledInputs) -> None:
    images = torch.rand(2, 16, *SHAPE, generator=torch.Generator().manual_seed(3)) * 2 - 1
    found = []
    for penalty in (0.0, 10.0):
        prior = critic_prior(toy("maze_pd", penalty=penalty), proxy)
        prior.loss(images[0], images[1]).backward()
        grads = [p.grad for p in prior.critic.parameters()]
        found.append(torch.cat([g.flatten() for g in grads if g is not None]))
    assert found[1].isfinite().all()
    assert (found[0] - found[1]).norm() > 0.1 * found[0].norm()


def test_the_critics_gradient_is_the_true_one(proxy: LabelledInputs) -> None:
    prior = critic_prior(toy("maze_pd", alpha_gan=3.0), proxy)
    raw = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(5))
    along = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(6))
    prior.critic.double()
    gradient = prior.gradient(raw.double())

    def loss(t: float) -> Tensor:
        return -3 * prior.critic((raw.double() + t * along.double()).tanh()).mean()

    with torch.no_grad():
        slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    torch.testing.assert_close((gradient * along).sum(), slope, rtol=1e-3, atol=1e-6)


def test_the_critic_learns_to_tell_seeds_from_made_images(proxy: LabelledInputs) -> None:
    prior = critic_prior(toy("maze_pd", critic_lr=1e-3), proxy)
    raw = torch.full((16, *SHAPE), -2.0) + 0.1 * torch.randn(
        16, *SHAPE, generator=torch.Generator().manual_seed(7)
    )
    seeds = as_pixels(proxy.inputs[:16]) * 2 - 1

    def gap() -> Tensor:
        with torch.no_grad():
            return prior.critic(seeds).mean() - prior.critic(raw.tanh()).mean()

    before = gap()
    for _ in range(30):
        prior.learn(raw)
    assert gap() > before + 0.1


def test_maze_star_is_dfme_but_for_its_settings() -> None:
    star = MazeStar()
    assert (star.batch_size, star.directions, star.student_steps) == (128, 10, 5)
    assert star.loss == "kl"
    optimizer = star.generator_optimizer(nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == 1e-4
