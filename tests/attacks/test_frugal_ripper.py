from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, MakeAudit

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.frugal_ripper import FrugalRipper
from clonecost.audit import run_audit
from clonecost.audit.definition import kept_bytes
from clonecost.errors import SpecError
from clonecost.types import LabelledInputs, ThreatModel, Victim

SMALL = FrugalRipper(round_size=100, epochs=4, batch_size=32)
TEST_ROWS = 400


def test_no_row_is_paid_for_twice_and_all_are_8_bit(victim: Victim, make_audit: MakeAudit) -> None:
    counting = RecordingVictim(victim)
    spent = run_audit(make_audit(SMALL, victim=counting)).spent
    asked = counting.rows[TEST_ROWS:]
    assert len(set(asked)) == len(asked) == spent
    rows = torch.stack([torch.frombuffer(bytearray(r), dtype=torch.float32)
                        for r in asked])  # fmt: skip
    assert torch.equal(rows, (rows * 255).round() / 255)


def test_balance_favours_the_rare_class(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    def lopsided(inputs: torch.Tensor) -> torch.Tensor:
        answers = victim(inputs) * torch.tensor([1.0, 1.0, 0.3])
        return answers / answers.sum(1, keepdim=True)

    def share_of_the_rarest(attack: FrugalRipper, name: str) -> float:
        audit = make_audit(attack, victim=lopsided, out=tmp_path / name)
        histogram = run_audit(audit).traffic.class_histogram
        return min(histogram) / sum(histogram)

    at_random = share_of_the_rarest(replace(SMALL, candidates=1, children=0.0), "chance")
    balanced = share_of_the_rarest(SMALL, "balanced")
    assert balanced > 1.5 * at_random + 0.02


def test_hard_labels_are_enough(victim: Victim, threat: ThreatModel, make_audit: MakeAudit) -> None:
    labels = replace(threat, answers="label")
    result = run_audit(make_audit(replace(SMALL, epochs=8), threat=labels))
    assert result.curve[-1].agreement.low > result.majority_agreement


@pytest.mark.parametrize("fitness", ["entropy", "disagreement", "none"])
@pytest.mark.parametrize("balance", [True, False])
def test_selection_takes_the_number_of_rows_and_none_twice(fitness: str, balance: bool) -> None:
    attack = FrugalRipper(fitness=fitness, balance=balance)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(0)
    candidates = torch.arange(600, dtype=torch.int64).view(600, 1, 1, 1)

    class Guess:
        """Nine of ten candidates look like class 0."""

        def answers(self, rows: torch.Tensor) -> torch.Tensor:
            guess = torch.where(rows.flatten() % 10 == 0, rows.flatten() // 10 % 2 + 1, 0)
            sure = torch.linspace(0.4, 0.9, len(rows))[:, None]
            one_hot = torch.nn.functional.one_hot(guess, CLASSES)
            return sure * one_hot + (1 - sure) * (1 - one_hot) / 2

    kit = AttackerKit(
        student=torch.nn.Identity, generator=None,  # type: ignore[arg-type]
        rng=rng, device=torch.device("cpu"), horizon=1,
    )  # fmt: skip
    bought = torch.eye(CLASSES).repeat(10, 1)
    found = attack.select(candidates, 90, bought, [Guess(), Guess()], kit)  # type: ignore[list-item]
    assert found.shape == (90,)
    assert len(found.unique()) == 90
    rare = (found % 10 == 0).sum().item()
    if balance:
        assert rare == 60  # 30 of each of the two rare classes, of which there are 30 each
        if fitness == "entropy":  # of class 0, those with the greatest entropy
            assert found[found % 10 != 0].max() < 40


def test_a_generator_can_be_the_source(make_audit: MakeAudit) -> None:
    result = run_audit(make_audit(replace(SMALL, source="toy")))
    assert result.curve[-1].agreement.low > result.majority_agreement


def test_a_run_without_proxy_data_is_refused(make_audit: MakeAudit) -> None:
    with pytest.raises(SpecError, match="frugal_ripper needs proxy data"):
        run_audit(make_audit("frugal_ripper", proxy=None))


def test_children_is_a_share() -> None:
    with pytest.raises(SpecError, match=r"frugal_ripper\.children .* got 1\.5, want at most 1"):
        FrugalRipper(children=1.5)


def test_kept_inputs_are_counted_as_whole_images(
    proxy: LabelledInputs, make_audit: MakeAudit
) -> None:
    audit = make_audit(SMALL, proxy=proxy)
    budget = audit.threat.query_budget
    assert kept_bytes(audit.attack, (1, 8, 8), budget, "auto") == budget * 4 * 64
