"""The verdict is relative to a clone that learnt nothing, whatever the victim's classes are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.synthetic_runs import run
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.evaluation.chance import balanced, corrected
from clonecost.evaluation.red_flags import Traits, flags
from clonecost.evaluation.scoring import Reference, score
from clonecost.report import Group, group_runs, headline, verdict
from clonecost.result import Rate, Score
from clonecost.types import LabelledInputs


class Recalled(nn.Module):
    """A clone that predicts class k for an input with the value k."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, inputs: Tensor) -> Tensor:
        return F.one_hot(inputs.flatten(1)[:, 0].round().long(), self.classes).float() * 9


def scored(victim: NDArray[np.int64], clone: NDArray[np.int64]) -> tuple[Score, Reference]:
    """The score of predictions (n,) against those of a victim (n,), and the test set's facts."""
    classes = int(max(victim.max(), clone.max())) + 1
    answers = F.one_hot(torch.from_numpy(victim), classes).float()
    inputs = torch.from_numpy(clone).float().reshape(-1, 1, 1, 1)
    reference = Reference(LabelledInputs(inputs, torch.full((len(victim),), -1)), answers)
    return score(Recalled(classes), reference, queries=100), reference


def group_of(found: Score, reference: Reference) -> Group:
    """A finished run with this clone."""
    one = run()
    document = one.result.model_dump(mode="json", by_alias=True)
    document |= {"curve": [found.model_dump()], "majority_agreement": reference.majority()}
    document["victim"] |= {"test_rows": len(reference.test)}
    rows = reference.predictions.bincount().tolist()
    document["per_class"] = [{"name": "k", "rows": count, "agreement": None} for count in rows]
    (group,) = group_runs([type(one)(one.path, type(one.result).model_validate(document))])
    return group


def flag_codes(group: Group) -> set[str]:
    result = group.first
    raised = flags(
        threat=result.threat, attack="some", traits=Traits(), curve=result.curve,
        victim_accuracy=None, majority_accuracy=None, majority=result.majority_agreement,
        test_rows=result.victim.test_rows, overlap=0, traffic=result.traffic, lost=0, resumed=0,
    )  # fmt: skip
    return {flag.code for flag in raised}


@st.composite
def victims(draw: st.DrawFn) -> NDArray[np.int64]:
    """Predictions of a victim with any marginals: balanced, or with a class of a few rows."""
    classes = draw(st.integers(2, 12))
    rows = draw(st.integers(200, 2_000))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shares = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.05, 0.3, 1.0, 100.0]))))
    return rng.choice(classes, rows, p=shares)


@st.composite
def guesses(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A victim, and predictions that know at most its marginals."""
    victim = draw(victims())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["most frequent", "any", "marginals", "uniform"]))
    if kind == "most frequent":
        clone = np.full(len(victim), np.bincount(victim).argmax())
    elif kind == "any":
        clone = np.full(len(victim), draw(st.integers(0, 11)))
    elif kind == "marginals":
        clone = rng.permutation(victim)
    else:
        clone = rng.integers(0, victim.max() + 1, len(victim))
    return victim, clone


@settings(max_examples=150)
@given(guesses())
def test_a_clone_that_learnt_nothing_is_never_vulnerable_and_never_below_a_band(
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    found, reference = scored(*pair)
    group = group_of(found, reference)
    if found.learnt:  # a guesser in forty is lucky: but little
        assert len(set(pair[1].tolist())) > 1
        assert verdict(group).band == "below"
        return
    assert verdict(group).band == "failed"
    assert verdict(group).title.startswith("No verdict")
    assert headline(group).startswith("No verdict")
    assert not group.first.learnt
    assert group.reached(0.0) is group.reached(0.75) is None
    assert "clone-learned-nothing" in flag_codes(group)


@settings(max_examples=100)
@given(victims())
def test_the_scale_runs_from_a_constant_clone_at_0_to_a_perfect_one_at_1(
    victim: NDArray[np.int64],
) -> None:
    rows, present = np.bincount(victim), len(set(victim.tolist()))
    constant, reference = scored(victim, np.full(len(victim), rows.argmax()))
    perfect, _ = scored(victim, victim)
    assert constant.corrected_agreement.value == 0
    assert constant.balanced_agreement.value == pytest.approx(1 / present)
    assert perfect.balanced_agreement.value == 1
    group = group_of(perfect, reference)
    if present == 1:
        assert verdict(group).title == "No verdict: the test set shows one class"
    else:
        assert perfect.corrected_agreement.value == 1
        assert verdict(group).band == "vulnerable"
        assert "clone-learned-nothing" not in flag_codes(group)
    few = len(victim) - rows.max() < 4  # the interval of a perfect clone includes the baseline
    assert ("too-few-other-classes" in flag_codes(group)) == few


@given(
    rows=st.integers(1, 500), low=st.integers(0, 500), high=st.integers(0, 500),
    majority=st.floats(0.01, 0.99),
)  # fmt: skip
def test_more_agreement_is_more_on_one_test_set_in_value_and_interval(
    rows: int, low: int, high: int, majority: float
) -> None:
    one, two = (
        corrected(Rate.of(hits, rows), majority)
        for hits in sorted((min(low, rows), min(high, rows)))
    )
    assert (one.value, one.low, one.high) <= (two.value, two.low, two.high)
    assert one.low <= two.low
    assert one.high <= two.high


def test_four_of_five_rare_rows_are_no_failure() -> None:
    """The interval of the chance-corrected agreement is too wide, that by class is not."""
    victim = np.zeros(3_000, np.int64)
    victim[:5] = 1
    clone = victim.copy()
    clone[0] = 0
    found, reference = scored(victim, clone)
    assert found.corrected_agreement.low < 0 < found.corrected_agreement.value
    assert found.learnt
    assert verdict(group_of(found, reference)).band == "vulnerable"


def test_the_fraud_model_of_the_bug_report_is_not_vulnerable() -> None:
    """3 % positives: agreement 96.6 %, majority-class baseline 97.4 %."""
    victim = np.zeros(1_000, np.int64)
    victim[:26] = 1
    clone = np.roll(victim, 17)  # 9 of 26 found, 17 false alarms
    found, reference = scored(victim, clone)
    assert (found.agreement.value, reference.majority()) == (0.966, 0.974)
    assert found.balanced_agreement.value == pytest.approx((9 / 26 + 957 / 974) / 2)
    told = verdict(group_of(found, reference))
    assert told.title == "No verdict: one class for all inputs may agree as often"
    assert "balanced agreement (66.4 %; by chance 50.0 %)" in told.reason


def test_one_predicted_class_has_no_scale() -> None:
    found = corrected(Rate.of(9, 9), 1.0)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert not found.above_chance


def test_balanced_agreement_of_one_class_has_its_interval() -> None:
    one = Rate.of(8, 10)
    found = balanced([one])
    assert (found.value, found.low, found.high) == pytest.approx((one.value, one.low, one.high))


@pytest.mark.parametrize(("common", "rare"), [(0.99, 0.5), (0.9, 0.9), (0.97, 0.1)])
def test_the_intervals_hold_the_truth_19_times_of_20(common: float, rare: float) -> None:
    """A fraud clone with known rates in each class, on 1,000 test sets of 970 and 30 rows."""
    rng = np.random.default_rng(0)
    hits = np.stack([rng.binomial(970, common, 1_000), rng.binomial(30, rare, 1_000)], 1)
    agreement, majority = (970 * common + 30 * rare) / 1_000, 0.97
    held = {"corrected": 0, "balanced": 0}
    pairs, counts = np.unique(hits, axis=0, return_counts=True)  # each interval once
    for (first, second), times in zip(pairs.tolist(), counts.tolist(), strict=True):
        scale = corrected(Rate.of(first + second, 1_000), majority)
        mean = balanced([Rate.of(first, 970), Rate.of(second, 30)])
        truth = (agreement - majority) / (1 - majority)
        held["corrected"] += times * (scale.low <= truth <= scale.high)
        held["balanced"] += times * (mean.low <= (common + rare) / 2 <= mean.high)
    assert min(held.values()) >= 930, held
