"""Every attack on images on the device: it spends what it reports, learns, resumes, and stays lean.

What is promised about a kill on a GPU: no row is paid twice, and answers that were paid are used
again. Kernels are deterministic ones (`cudnn.deterministic`), so that a resumed run asks the same
rows; if a sum differed after all, the ledger would refuse the replay with a sentence.
"""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import BUDGET, CLASSES, SHAPE, MakeAudit, toy_generator, toy_student
from torch import Tensor, nn

from clonecost.attacks import ATTACKS
from clonecost.attacks.base import AttackerKit
from clonecost.audit import run_audit
from clonecost.errors import VictimError
from clonecost.networks import build_generator
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import OraclePosition
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.victims import torch_victim

TEST_ROWS, LITTLE = 400, 600
ON_IMAGES = sorted(name for name, one in ATTACKS.items() if one.declares.takes == "images")
LOOPS = ["dfme", "disguide", "maze", "ex_nihilo"]  # that a paper-scale run spends its time in


@pytest.fixture
def few(threat: ThreatModel, proxy: LabelledInputs, device: torch.device) -> dict[str, object]:
    """Settings of a run of few rows on the device."""
    return {
        "threat": replace(threat, query_budget=LITTLE), "milestones": (250,), "device": device,
        "proxy": proxy.take(slice(0, LITTLE)),
        "generators": {"toy": replace(toy_generator(), device=device)},
    }  # fmt: skip


@pytest.mark.parametrize("name", ON_IMAGES)
def test_an_attack_spends_what_it_reports(
    name: str, network: nn.Module, make_audit: MakeAudit, few: dict[str, object]
) -> None:
    white_box = ATTACKS[name].declares.white_box
    settings = {key: value for key, value in few.items() if key != "threat" or not white_box}
    result = run_audit(make_audit(name, victim=network, **settings))
    assert result.spent <= (0 if white_box else LITTLE)
    assert result.evaluation == TEST_ROWS
    assert result.curve[-1].queries == result.spent == result.traffic.rows


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_learns(
    name: str, network: nn.Module, make_audit: MakeAudit, device: torch.device
) -> None:
    result = run_audit(make_audit(name, victim=network, device=device))
    assert result.spent <= BUDGET
    assert result.curve[-1].agreement.low > result.majority_agreement


@pytest.mark.parametrize("name", LOOPS)
def test_a_killed_run_pays_no_row_twice_and_ends_alike(
    name: str, victim: Victim, make_audit: MakeAudit, few: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory, device: torch.device,
) -> None:  # fmt: skip
    whole, killed = (tmp_path_factory.mktemp(name) for _ in range(2))

    def on_cpu(rows: Tensor) -> Tensor:
        return victim(rows.cpu()).to(rows.device)

    straight = run_audit(make_audit(name, **few, victim=on_cpu, out=whole))
    first = RecordingVictim(on_cpu, fail_at=TEST_ROWS + LITTLE // 2)
    with pytest.raises(VictimError, match="went away"):
        run_audit(make_audit(name, **few, victim=first, out=killed, snapshot_every=0.0))
    second = RecordingVictim(on_cpu)
    resumed = run_audit(make_audit(name, **few, victim=second, out=killed, snapshot_every=0.0))
    assert resumed.spent == straight.spent
    assert not set(first.rows) & set(second.rows)
    if device.type == "cpu":
        assert resumed.curve == straight.curve
    one, two = (load_file(folder / "clone.safetensors") for folder in (whole, killed))
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-3, atol=1e-4)


def test_memory_is_flat(
    network: nn.Module, threat: ThreatModel, make_audit: MakeAudit, device: torch.device
) -> None:
    if device.type != "cuda":
        pytest.skip("benchmarks/memory.py measures the processor's memory")
    peaks = []
    for budget in (1_500, 6_000):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        more = replace(threat, query_budget=budget)
        run_audit(make_audit("dfme", victim=network, threat=more, device=device,
                             out=make_audit().folder.with_name(f"run-{budget}")))  # fmt: skip
        peaks.append(torch.cuda.max_memory_allocated(device) - before)
    assert peaks[1] < 1.05 * peaks[0] + 2**20


@pytest.mark.parametrize("name", ["dfme", "disguide", "maze"])
def test_a_loop_waits_for_the_device_in_the_oracle_alone(
    name: str, threat: ThreatModel, device: torch.device
) -> None:
    if device.type != "cuda":
        pytest.skip("only CUDA reports that somebody waits")
    oracle, rng = Unwaited(threat), torch.Generator(device).manual_seed(0)
    kit = AttackerKit(
        student=toy_student, rng=rng, device=device, horizon=threat.query_budget,
        generator=lambda latent, *, width: build_generator(latent, SHAPE, width=width),
    )  # fmt: skip
    run = toy_attack(name).run(cast(Oracle, oracle), kit)
    next(run)  # the first iteration makes networks and states
    try:
        for _ in range(2):
            torch.cuda.set_sync_debug_mode("error")
            next(run)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_an_oracle_that_charges_ahead_waits_for_nothing(
    network: nn.Module, threat: ThreatModel, tmp_path: Path, device: torch.device
) -> None:
    victim = torch_victim(network.to(device))
    large = replace(threat, query_budget=100 * BUDGET)
    rng = torch.Generator(device).manual_seed(0)
    batches = [torch.rand(64, *SHAPE, generator=rng, device=device) for _ in range(12)]
    kept = []
    for ahead in (False, True):
        path = tmp_path / f"{ahead}.sqlite"
        ledger = Ledger(path, audit="a", input_shape=SHAPE, num_classes=CLASSES)
        oracle = Oracle(victim, large, ledger, ahead=ahead)
        answers = [oracle(batches[0])]  # the first charges
        try:
            if ahead and device.type == "cuda":
                torch.cuda.set_sync_debug_mode("error")
            answers += [oracle(batch) for batch in batches[1:]]
        finally:
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        OraclePosition(oracle).settle()
        recorded = ledger.recorded("attack", 0, 12 * 64)
        assert recorded is not None
        torch.testing.assert_close(torch.cat(answers).cpu(), recorded.answers, rtol=0, atol=0)
        kept.append(recorded.digests)
        ledger.close()
    assert kept[0] == kept[1]


class Unwaited:
    """An oracle without a ledger, whose answers are made on the device."""

    def __init__(self, threat: ThreatModel) -> None:
        self.threat, self.spent = threat, 0

    @property
    def remaining(self) -> int:
        return self.threat.query_budget - self.spent

    def __call__(self, inputs: Tensor, **more: object) -> Tensor:
        self.spent += len(inputs)
        return inputs.flatten(1)[:, :CLASSES].softmax(1).detach()
