import pytest
import torch
from tests.support.toys import MakeAudit, toy_student
from torch import Tensor

from clonecost.audit import run_audit
from clonecost.evaluation.controls import run_controls
from clonecost.evaluation.scoring import Reference
from clonecost.result import Control
from clonecost.types import LabelledInputs, Victim, no_progress


def controls(
    reference: Reference, bought: tuple[Tensor, Tensor] | None, own: LabelledInputs | None
) -> dict[str, Control]:
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = run_controls(
            new_student=toy_student, bought=bought, true_labels=own, reference=reference, rng=rng,
            progress=no_progress,
        )  # fmt: skip
    return {control.name: control for control in found}


@pytest.fixture
def reference(victim: Victim, test_set: LabelledInputs) -> Reference:
    return Reference(test_set, victim(test_set.inputs))


def test_only_true_labels_train_a_useful_student(
    victim: Victim, reference: Reference, proxy: LabelledInputs
) -> None:
    inputs = proxy.rows(slice(0, 1_000))
    answers = victim(inputs)
    own = LabelledInputs(proxy.inputs[:1_000], answers.argmax(1))
    found = controls(reference, (inputs, answers), own)
    assert set(found) == {"untrained_student", "shuffled_answers", "true_labels"}
    assert found["true_labels"].agreement.low > reference.majority()
    for name in ("untrained_student", "shuffled_answers"):
        assert found[name].agreement.value < found["true_labels"].agreement.low


def test_controls_without_data_are_left_out(reference: Reference) -> None:
    assert set(controls(reference, None, None)) == {"untrained_student"}


def test_controls_change_nothing_else_in_the_result(make_audit: MakeAudit, tmp_path) -> None:  # type: ignore[no-untyped-def]
    plain = run_audit(make_audit(out=tmp_path / "a"))
    checked = run_audit(make_audit(out=tmp_path / "b", controls=True))
    assert [c.name for c in checked.controls] == ["untrained_student", "shuffled_answers"]
    assert (plain.curve, plain.spent) == (checked.curve, checked.spent)
    one, two = ((tmp_path / o / "clone.safetensors").read_bytes() for o in "ab")
    assert one == two
    assert plain.provenance.ledger_rows == checked.provenance.ledger_rows
