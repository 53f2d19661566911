from dataclasses import replace
from pathlib import Path

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


def test_rows_of_rare_classes_are_bred(
    victim: Victim, threat: ThreatModel, make_audit: MakeAudit, tmp_path: Path
) -> None:
    def lopsided(inputs: torch.Tensor) -> torch.Tensor:
        answers = victim(inputs) * torch.tensor([1.0, 1.0, 0.3])
        return answers / answers.sum(1, keepdim=True)

    def share_of_the_rarest(attack: ExNihilo, name: str) -> float:
        few = replace(threat, query_budget=400)
        audit = make_audit(attack, victim=lopsided, proxy=None, threat=few, out=tmp_path / name)
        histogram = run_audit(audit).traffic.class_histogram
        return min(histogram) / sum(histogram)

    quick = replace(
        SMALL, epochs=1, balance=False, candidates=2, scout_passes=1
    )  # the parents alone
    any_parents = share_of_the_rarest(replace(quick, parents="rare", children=1.0), "rare")
    lacking = share_of_the_rarest(replace(quick, children=1.0), "lacking")
    assert lacking > any_parents + 0.05
