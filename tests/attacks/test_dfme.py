import dataclasses
import sys

import pytest
import torch
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingOracle
from tests.support.toys import SHAPE, MakeAudit, toy_student
from torch import nn

from clonecost.attacks import PROFILES
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.dfme import Dfme
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.networks import build_generator
from clonecost.types import ThreatModel


def test_an_iteration_costs_1792_queries() -> None:
    assert Dfme().queries_per_iteration == 1_792
    costs = [Dfme(directions=m).queries_per_iteration for m in (1, 2, 5, 10, 20, 50)]
    assert costs == [1_792, 2_048, 2_816, 4_096, 6_656, 14_336]


@pytest.mark.parametrize(
    ("attack", "budget", "iterations", "decays"),
    [(Dfme(), 20_000_000, 11_160, [22, 67, 112]),
     (PROFILES["dfme"]["svhn"], 2_000_000, 1_116, [11, 18])],
)  # fmt: skip
def test_schedule_of_the_released_scripts(
    attack: Dfme, budget: int, iterations: int, decays: list[int]
) -> None:
    assert budget // attack.queries_per_iteration == iterations
    assert attack.decay_epochs(budget) == decays
    rates = [attack.rate(epoch, decays) for epoch in range(1, 225)]
    changes = [e + 1 for e in range(1, 224) if rates[e] != rates[e - 1]]
    assert changes == decays
    assert rates[-1] == pytest.approx(0.3 ** len(decays))


def run(attack: Dfme, budget: int) -> tuple[RecordingOracle, list[nn.Module]]:
    oracle = RecordingOracle(budget)
    kit = AttackerKit(
        student=toy_student,
        generator=lambda latent, *, width: build_generator(latent, SHAPE, width=width),
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=budget,
    )  # fmt: skip
    return oracle, list(attack.run(oracle, kit))


@pytest.mark.parametrize("directions", [1, 2, 3, 5, 10, 19, 58])
def test_every_m_works_and_asks_base_points_then_neighbours(directions: int) -> None:
    """The official chunking fails at m = 19 (and truncates silently before it fails)."""
    attack = dataclasses.replace(toy_attack("dfme"), directions=directions)  # type: ignore[type-var]
    assert isinstance(attack, Dfme)
    oracle, _ = run(attack, 2 * attack.queries_per_iteration)
    assert [len(x) for x in oracle.asked] == [32 * (directions + 1), 32 * 4] * 2
    base, *neighbours = oracle.asked[0].split(32)
    for near in neighbours:
        raw = (2 * base - 1).atanh(), (2 * near - 1).atanh()
        moved = (raw[1] - raw[0]).flatten(1).norm(dim=1)
        torch.testing.assert_close(moved, torch.full((32,), 1e-3), atol=2e-4, rtol=0)


def test_pixels_reach_the_whole_range_and_published_wiring_does_not() -> None:
    raw = torch.tensor([-20.0, 0.0, 20.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    torch.testing.assert_close(Dfme().pixels(raw)[0, 0, 0], torch.tensor([0.0, 0.5, 1.0]))
    published = PROFILES["dfme"]["cifar10"].pixels(raw)  # type: ignore[attr-defined]
    reach = [[0.289, 0.694], [0.283, 0.682], [0.246, 0.648]]
    torch.testing.assert_close(published[0, :, 0, ::2], torch.tensor(reach), atol=1e-3, rtol=0)


@pytest.mark.parametrize("settings", [{"loss": "kl"}, {"recovery": "none"}, {"recovery": "min"},
                                      {"scale_by_dim": False}, {"generator_steps": 2},
                                      {"student_optimizer": "adam", "student_lr": 1e-3},
                                      {"replay_steps": 2}])  # fmt: skip
def test_variants_run(settings: dict[str, object]) -> None:
    attack = dataclasses.replace(toy_attack("dfme"), **settings)  # type: ignore[type-var]
    assert isinstance(attack, Dfme)
    _, clones = run(attack, 3 * attack.queries_per_iteration)
    assert len(clones) == 3


def test_generator_climbs_the_disagreement(make_audit: MakeAudit) -> None:
    """With the student frozen, the generator's own steps must raise what it is paid to raise."""
    attack = dataclasses.replace(
        toy_attack("dfme"), student_lr=0.0, directions=20, generator_lr=3e-3, decay_at=()
    )  # type: ignore[type-var]
    assert isinstance(attack, Dfme)
    oracle, clones = run(attack, 150 * attack.queries_per_iteration)
    student = clones[-1].eval()
    worth = []
    with torch.no_grad():
        for images, answers in zip(oracle.asked[1::2], oracle.answered[1::2], strict=True):
            worth.append(attack.distance(student(images), attack.recover(answers)).mean())
    assert torch.stack(worth[-10:]).mean() > 1.5 * torch.stack(worth[:10]).mean()


def test_8_bit_inputs_raise_the_flag(threat: ThreatModel, make_audit: MakeAudit) -> None:
    coarse = dataclasses.replace(threat, input_precision="uint8")
    codes = [flag.code for flag in run_audit(make_audit("dfme", threat=coarse)).flags]
    assert "differences-in-8-bit" in codes


@pytest.mark.parametrize(("mode", "count"), [("no", 0), ("generator", 1), ("all", 2)])
def test_compile_reaches_the_networks_that_it_names(
    mode: str, count: int, make_audit: MakeAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    monkeypatch.setenv("CXX", sys.executable)  # any program that is there
    run_audit(make_audit("dfme", compile=mode))
    assert len(compiled) == count


def test_compile_without_a_compiler_is_refused_before_anything_is_asked(
    make_audit: MakeAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    with pytest.raises(SpecError, match=r"needs a C\+\+ compiler"):
        run_audit(make_audit("dfme", compile="generator"))
