"""Agreement of a multi-label model's clone: by label, over labels, with intervals over rows."""

import pytest
import torch

from clonecost.evaluation.label_scores import (
    balanced_labels,
    label_agreement,
    label_majority,
    per_label,
)
from clonecost.evaluation.scoring import Reference, score
from clonecost.networks.per_label import PerLabel, paired
from clonecost.types import LabelledInputs

RNG = torch.Generator().manual_seed(0)
VICTIM = torch.rand(400, 3, generator=RNG) < torch.tensor([0.5, 0.1, 0.0])


def reference(victim: torch.Tensor) -> Reference:
    """A test set whose rows are the logits of the labels."""
    inputs = (2.0 * victim - 1)[:, None, None]
    test = LabelledInputs(inputs, torch.full((len(victim),), -1), ("sky", "sea", "sand"))
    return Reference(test, paired(victim.float()), multi_label=True)


def test_a_perfect_clone_agrees_and_one_that_ignores_its_input_has_the_baseline() -> None:
    known = reference(VICTIM)
    perfect = score(PerLabel(torch.nn.Flatten()), known, queries=9)
    assert (perfect.agreement.value, perfect.corrected_agreement.value, perfect.learnt) == (1, 1, 1)
    assert perfect.kl == pytest.approx(0.313, abs=1e-3)  # of sigmoid(1) against certain answers

    class Constant(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            often = VICTIM.float().mean(0) > 0.5
            return (2.0 * often - 1).expand(len(inputs), -1)

    constant = score(PerLabel(Constant()), known, queries=9)
    assert constant.agreement.value == pytest.approx(known.majority()) == label_majority(VICTIM)
    assert constant.corrected_agreement.value == pytest.approx(0, abs=1e-12)
    assert constant.balanced_agreement.value == 0.5
    assert not constant.learnt
    assert constant.accuracy is None


def test_labels_are_scored_over_all_rows_beside_their_baseline() -> None:
    agrees = torch.ones_like(VICTIM)
    agrees[:40, 0] = False
    cards = per_label(agrees, VICTIM, {0: "sky", 1: "sea"})
    assert [one.name for one in cards] == ["sky", "sea", "2"]
    assert [one.rows for one in cards] == VICTIM.sum(0).tolist()
    assert [one.agreement and one.agreement.value for one in cards] == [0.9, 1, 1]
    assert [one.majority for one in cards] == pytest.approx(
        [max(share, 1 - share) for share in VICTIM.double().mean(0).tolist()]
    )


def test_the_interval_is_over_rows_and_not_over_decisions() -> None:
    """20 labels that are all right or all wrong are no more evidence than one."""
    right = torch.rand(200, 1, generator=RNG) < 0.8
    one, copies = label_agreement(right), label_agreement(right.expand(-1, 20))
    assert (copies.low, copies.high) == pytest.approx((one.low, one.high), abs=1e-3)
    apart = label_agreement(torch.rand(200, 20, generator=RNG) < 0.8)
    assert apart.high - apart.low < (one.high - one.low) / 3


def test_balanced_labels_weigh_rare_ones_and_leave_constant_ones_out() -> None:
    agrees = torch.tensor([True, False, False]) == VICTIM
    found = balanced_labels(agrees, VICTIM)
    assert found is not None
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    assert balanced_labels(agrees[:, 2:], VICTIM[:, 2:]) is None
