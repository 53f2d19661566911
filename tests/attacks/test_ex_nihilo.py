from dataclasses import replace

import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.ex_nihilo import ExNihilo
from clonecost.audit import run_audit
from clonecost.types import ThreatModel, Victim

SMALL = ExNihilo(round_size=100, candidates=3, epochs=8, batch_size=32)
TEST_ROWS = 400


def test_needs_no_data(make_audit: MakeAudit) -> None:
    result = run_audit(make_audit(SMALL, proxy=None, generators={}))
    assert result.curve[-1].agreement.low > result.majority_agreement


def test_a_label_is_enough(victim: Victim, threat: ThreatModel, make_audit: MakeAudit) -> None:
    labels = replace(threat, answers="label")
    result = run_audit(make_audit(SMALL, proxy=None, threat=labels))
    assert result.curve[-1].agreement.low > result.majority_agreement


def test_no_row_is_paid_for_twice_and_all_are_8_bit(victim: Victim, make_audit: MakeAudit) -> None:
    counting = RecordingVictim(victim)
    spent = run_audit(make_audit(SMALL, victim=counting, proxy=None)).spent
    asked = counting.rows[TEST_ROWS:]
    assert len(set(asked)) == len(asked) == spent
    rows = torch.stack([torch.frombuffer(bytearray(r), dtype=torch.float32) for r in asked])
    assert torch.equal(rows, (rows * 255).round() / 255)


def test_noise_replaces_the_drawings_as_a_control() -> None:
    kit = AttackerKit(
        student=torch.nn.Identity, generator=None,  # type: ignore[arg-type]
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=1,
    )  # fmt: skip
    smooth, rough = (
        float(replace(SMALL, source=source).new(64, (3, 16, 16), kit).diff(dim=3).abs().mean())
        for source in ("drawings", "noise")
    )
    assert smooth < rough / 2
