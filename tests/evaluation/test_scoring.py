import math

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, SHAPE, toy_student
from torch import Tensor, nn

from clonecost.evaluation.scoring import BATCH, Reference, per_class, rate, score
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import LabelledInputs, ThreatModel, Victim


class FixedLogits(nn.Module):
    """A clone whose logits for row k, known by its first pixel, are row k of `logits`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, inputs: Tensor) -> Tensor:
        row = (inputs.flatten(1)[:, 0] * 1_000).round().long()
        return self.logits[row]


def reference(labels: list[int], predictions: list[int], top: float = 0.8) -> Reference:
    inputs = torch.zeros(len(labels), 1, 1, 1)
    inputs[:, 0, 0, 0] = torch.arange(len(labels)) / 1_000
    answers = torch.full((len(labels), 3), (1 - top) / 2)
    answers[torch.arange(len(labels)), predictions] = top
    return Reference(LabelledInputs(inputs, torch.tensor(labels), ("a", "b", "c"), "t"), answers)


def predicting(classes: list[int]) -> FixedLogits:
    return FixedLogits(torch.nn.functional.one_hot(torch.tensor(classes), 3).float() * 9)


def test_wilson_interval_matches_a_textbook_value() -> None:
    """8 of 10: 0.4902 to 0.9433 (Wilson's score interval without continuity correction)."""
    found = rate(torch.tensor([True] * 8 + [False] * 2))
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.8, 0.4902, 0.9433)


@pytest.mark.parametrize("hits", [0, 5])
def test_intervals_of_none_and_all_stay_within_0_and_1(hits: int) -> None:
    found = rate(torch.arange(5) < hits)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_accuracy_is_against_labels_and_agreement_against_the_victim() -> None:
    found = score(predicting([0, 1, 2, 0]), reference([0, 1, 1, 1], [0, 2, 2, 0]), queries=7)
    assert found.accuracy is not None
    assert (found.accuracy.value, found.agreement.value, found.queries) == (0.5, 0.75, 7)
    assert found.relative_accuracy == 2.0  # the victim itself is right once in four


def test_a_victim_that_is_never_right_has_no_relative_accuracy() -> None:
    found = score(predicting([0, 0]), reference([0, 0], [1, 1]), queries=1)
    assert found.relative_accuracy == 0.0


def test_agreement_needs_no_labels() -> None:
    labelled = reference([0, 1, 1, 1], [0, 2, 2, 0])
    bare = reference([-1, -1, -1, -1], [0, 2, 2, 0])
    clone = predicting([0, 1, 2, 0])
    known, found = (score(clone, truth, queries=7) for truth in (labelled, bare))
    unknown = {"accuracy": None, "relative_accuracy": None}
    assert found == known.model_copy(update=unknown)
    assert (bare.victim_accuracy(), bare.majority_accuracy()) == (None, None)
    assert labelled.majority_accuracy() == 0.75


def test_balanced_agreement_is_the_mean_over_the_classes_that_the_victim_predicts() -> None:
    found = score(predicting([0, 0, 0, 1]), reference([0] * 4, [0, 0, 0, 2]), queries=1)
    assert found.agreement.value == 0.75
    assert found.corrected_agreement.value == 0  # as the clone that always predicts class 0
    assert found.balanced_agreement.value == 0.5  # 3 of 3, 0 of 1; class 1 is left out


def test_kl_has_the_victim_first() -> None:
    truth = reference([0], [0], top=0.8)
    clone = FixedLogits(torch.tensor([[0.5, 0.25, 0.25]]).log())
    expected = 0.8 * math.log(0.8 / 0.5) + 2 * 0.1 * math.log(0.1 / 0.25)
    assert score(clone, truth, queries=1).kl == pytest.approx(expected, abs=1e-6)


def test_a_copy_of_the_victim_has_agreement_1() -> None:
    truth = reference([0, 1, 2], [0, 1, 2])
    found = score(FixedLogits(truth.answers.log()), truth, queries=1)
    assert (found.agreement.value, found.relative_accuracy) == (1.0, 1.0)
    assert found.kl == pytest.approx(0, abs=1e-6)


def test_majority_is_the_share_of_the_class_that_the_victim_predicts_most() -> None:
    assert reference([0, 0, 0, 0], [1, 1, 2, 0]).majority() == 0.5


def test_per_class_counts_by_the_victims_predictions() -> None:
    rows = per_class(predicting([0, 1, 1]), reference([2, 2, 2], [0, 0, 1]))
    assert [(row.name, row.rows) for row in rows] == [("a", 2), ("b", 1), ("c", 0)]
    assert [row.agreement and row.agreement.value for row in rows] == [0.5, 1.0, None]


def test_classes_without_names_are_numbered() -> None:
    truth = reference([0], [0])
    bare = Reference(LabelledInputs(truth.test.inputs, truth.test.labels), truth.answers)
    assert [row.name for row in per_class(predicting([0]), bare)] == ["0", "1", "2"]


def test_scoring_does_not_touch_the_clone(victim: Victim, test_set: LabelledInputs) -> None:
    clone = toy_student().train()
    before = {key: value.clone() for key, value in clone.state_dict().items()}
    random = torch.get_rng_state()
    score(clone, Reference(test_set, victim(test_set.inputs)), queries=0)
    assert clone.training
    assert all(torch.equal(before[key], value) for key, value in clone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_reference_is_bought_once_and_in_order(victim: Victim, tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = BATCH + 3
    test = LabelledInputs(torch.rand(rows, *SHAPE), torch.zeros(rows, dtype=torch.int64))
    counting = RecordingVictim(victim)
    ledger = Ledger(tmp_path / "l.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=rows)
    for _ in range(2):  # a resumed run has them already
        oracle = Oracle(counting, threat, ledger, account="evaluation")
        found = Reference.buy(oracle, test, torch.device("cpu"))
    torch.testing.assert_close(found.answers, victim(test.inputs))
    assert counting.seen == rows
    assert (ledger.totals("evaluation").settled, ledger.totals("attack").settled) == (rows, 0)
    ledger.close()
