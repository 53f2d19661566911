"""An attack behind a countermeasure counts its own rows, the oracle and the curve count queries."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.refusing_victim import refused, refusing
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import Tensor

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import Audit, run_audit
from clonecost.countermeasures import COUNTERMEASURES, Countermeasure, Known, View
from clonecost.countermeasures.averaging import Averaging
from clonecost.countermeasures.base import OWN_KEY, affordable, own_rows
from clonecost.countermeasures.inverse import Inverse
from clonecost.countermeasures.jitter import Jitter
from clonecost.countermeasures.label_only import LabelOnly
from clonecost.countermeasures.recovery_net import RecoveryNet
from clonecost.countermeasures.recovery_table import RecoveryTable
from clonecost.countermeasures.sharpen import Sharpen
from clonecost.defences.noise import Noise
from clonecost.defences.temperature import Temperature
from clonecost.errors import AnswersError, BudgetError, SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.delivery import current
from clonecost.oracle.ledger import Ledger
from clonecost.types import LabelledInputs, ThreatModel, Victim

QUICK = Knockoff(recipe="shared", epochs=1, batch_size=16)


def opened(victim: Victim, threat: ThreatModel, folder: Path) -> Oracle:
    ledger = Ledger(folder / "ledger.sqlite", audit="test", input_shape=SHAPE, num_classes=CLASSES)
    return Oracle(victim, threat, ledger, keep=True)


@pytest.mark.parametrize(
    ("queries", "repeats", "rows"), [(0, 4, 0), (3, 4, 0), (4, 4, 1), (1_000, 16, 62), (7, 1, 7)]
)
def test_whole_rows_only(queries: int, repeats: int, rows: int) -> None:
    assert own_rows(queries, repeats) == rows


def test_milestones_are_lowered_to_whole_rows() -> None:
    assert affordable([1_000, 10, 500, 505], 16) == [496, 992]
    assert affordable([500, 20], 1) == [20, 500]


def test_the_view_counts_rows_and_the_oracle_counts_queries(
    victim: Victim, threat: ThreatModel, tmp_path: Path
) -> None:
    oracle = opened(victim, replace(threat, query_budget=43), tmp_path)
    view = Averaging(repeats=4).view(oracle, Known(()))
    rows = torch.rand(7, *SHAPE)
    assert (view.threat.query_budget, view.remaining) == (10, 10)
    answers = view(rows, index=torch.arange(7))
    assert torch.allclose(answers, victim(rows), atol=1e-6)
    assert (view.spent, view.remaining, oracle.spent) == (7, 3, 28)
    with pytest.raises(BudgetError, match="16 queries were requested with 15 left"):
        view(rows[:4])
    assert oracle.spent == 28
    view(rows[:3])
    assert (view.remaining, oracle.remaining) == (0, 3)  # three queries buy no whole row


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_copies_of_a_row_come_one_after_the_other(
    victim: Victim, threat: ThreatModel, tmp_path: Path, repeats: int
) -> None:
    oracle = opened(victim, threat, tmp_path)
    pool = torch.rand(5, *SHAPE)
    View(oracle, repeats=repeats)(pool[[4, 2]], index=torch.tensor([4, 2]))
    inputs, _ = Ledger.read(tmp_path / "ledger.sqlite").bought(pool)
    assert torch.equal(inputs, pool[[4] * repeats + [2] * repeats])


REFUSED: list[Countermeasure] = [
    LabelOnly(), Averaging(repeats=3), Averaging(repeats=3, kind="vote"), Inverse(), Sharpen(),
    RecoveryTable(rows=100), RecoveryNet(rows=100, epochs=1, batch_size=50),
]  # fmt: skip


@pytest.mark.parametrize("counter", REFUSED, ids=repr)
def test_a_refused_row_has_no_answer_behind_a_countermeasure_either(
    counter: Countermeasure, victim: Victim, threat: ThreatModel, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", audit="t", input_shape=SHAPE, num_classes=CLASSES)
    oracle = Oracle(refusing(victim), threat, ledger, skips_refused=True)
    rows = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    lost = refused(rows)
    assert 0 < lost.sum() < 40
    view = counter.view(oracle, Known.of([Temperature()], 0))
    answers = view(rows)
    assert not answers[lost].any()
    assert torch.allclose(answers[~lost].sum(1), torch.ones(int((~lost).sum())), atol=1e-5)
    assert not view(rows[lost][:1]).any()  # nothing else in the batch


def test_of_a_row_that_is_refused_in_part_the_answered_copies_count(
    threat: ThreatModel, tmp_path: Path
) -> None:
    def first_copy_refused(rows: Tensor, /) -> Tensor:
        for row in range(0, len(rows), 3):
            current().refused_for_good(row, "422 Unprocessable")
        return torch.eye(CLASSES)[[0, 1, 2]].repeat(len(rows) // 3, 1)

    ledger = Ledger(tmp_path / "ledger.sqlite", audit="t", input_shape=SHAPE, num_classes=CLASSES)
    oracle = Oracle(first_copy_refused, threat, ledger, skips_refused=True)
    answers = Averaging(repeats=3).view(oracle, Known(()))(torch.rand(2, *SHAPE))
    assert answers[0].tolist() == pytest.approx([0, 2 / 3, 1 / 3])


def small(
    make_audit: MakeAudit, out: Path, counter: Countermeasure | None, **more: object
) -> Audit:
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=203)
    settings = {"threat": threat, "milestones": (50, 100), "student": toy_student, **more}
    return make_audit(QUICK, out=out, counter=counter, **settings)


def test_the_curve_is_in_queries(make_audit: MakeAudit, tmp_path: Path) -> None:
    result = run_audit(small(make_audit, tmp_path / "run", Averaging(repeats=4)))
    assert [score.queries for score in result.curve] == [48, 100, 200]
    assert (result.spent, result.traffic.rows, result.threat.query_budget) == (200, 200, 203)
    counter = result.attack.counter
    assert counter is not None
    assert (counter.name, counter.repeats, counter.bound) == ("averaging", 4, False)
    assert counter.settings == {"repeats": 4, "kind": "mean"}


class StopsError(Exception):
    pass


@pytest.mark.parametrize("counter", [
    LabelOnly(), Averaging(repeats=3), Jitter(repeats=3),
    COUNTERMEASURES["recovery_table"](rows=500), COUNTERMEASURES["recovery_net"](rows=200, epochs=1,
                                                                              batch_size=50),
], ids=lambda one: type(one).__name__)  # fmt: skip
def test_a_run_that_was_stopped_ends_with_the_same_clone(
    make_audit: MakeAudit, victim: Victim, tmp_path: Path, counter: Countermeasure
) -> None:
    """Also from a snapshot, which must hold what a countermeasure has learnt from the answers."""
    defences = [Noise(scale=0.1, consistent=not isinstance(counter, Averaging), keep_top=False)]
    if isinstance(counter, Averaging):
        defences = []  # fresh noise is another after a resume, which docs/resume.md says
    whole = run_audit(small(make_audit, tmp_path / "whole", counter, defences=defences))
    sent = 0

    def falls(inputs: Tensor, /) -> Tensor:
        nonlocal sent
        sent += len(inputs)
        if sent > 400 + 60:  # the test rows, and a third of the attack's
            raise StopsError
        return victim(inputs)

    audit = small(make_audit, tmp_path / "run", counter, defences=defences, victim=falls,
                  snapshot_every=0.0)  # fmt: skip
    with pytest.raises(Exception, match="StopsError"):
        run_audit(audit)
    sent = -10_000
    again = run_audit(audit)
    assert again.provenance.resumed == 1
    assert again.curve == whole.curve
    assert again.traffic == whole.traffic


def test_the_attacker_gets_no_key() -> None:
    known = Known.of([Noise(consistent=True, key="secret"), Temperature(temperature=2)], 0)
    assert known.defences[0].key == OWN_KEY  # type: ignore[attr-defined]
    assert known.names == ["noise", "temperature"]
    assert "secret" not in repr(known)


def test_another_countermeasure_is_another_audit(make_audit: MakeAudit, tmp_path: Path) -> None:
    plain = small(make_audit, tmp_path / "run", None)
    assert "counter" not in plain.identity()
    assert len({plain.identity(), *(
        small(make_audit, tmp_path / "run", one).identity()
        for one in (LabelOnly(), Averaging(repeats=3), Averaging(repeats=4))
    )}) == 4  # fmt: skip


@pytest.mark.parametrize(("counter", "defences", "said"), [
    (COUNTERMEASURES["inverse"](), [], "inverse undoes temperature, and the defences have none"),
    (COUNTERMEASURES["inverse"](), [Noise()], "got noise"),
    (COUNTERMEASURES["recovery_table"](), [], "undoes a defence, and there is none"),
    (Averaging(), [Temperature()], "gives a repeated row the same answer"),
    (Averaging(), [Noise(consistent=True)], "gives a repeated row the same answer"),
    (Averaging(repeats=300), [], "smaller than the 300 queries that averaging needs for a row"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_sent(
    make_audit: MakeAudit, tmp_path: Path, counter: Countermeasure, defences: list[object],
    said: str,
) -> None:  # fmt: skip
    audit = small(make_audit, tmp_path / "run", counter, defences=defences)
    with pytest.raises(SpecError, match=said):
        run_audit(audit)
    assert not (tmp_path / "run").exists()


def test_too_few_answers_are_refused(make_audit: MakeAudit, tmp_path: Path) -> None:
    labels = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=50, answers="label")
    with pytest.raises(AnswersError, match="inverse needs richer answers"):
        run_audit(make_audit(QUICK, counter=COUNTERMEASURES["inverse"](), threat=labels,
                             defences=[Temperature()], out=tmp_path / "run"))  # fmt: skip
    with pytest.raises(AnswersError, match="dfme needs richer answers than label_only leaves"):
        run_audit(make_audit("dfme", counter=LabelOnly(), out=tmp_path / "run"))


def test_a_budget_below_one_own_iteration_names_the_queries(
    make_audit: MakeAudit, tmp_path: Path, proxy: LabelledInputs
) -> None:
    audit = make_audit("dfme", counter=Averaging(repeats=100), out=tmp_path / "run")
    with pytest.raises(SpecError, match=r"too small for one iteration of dfme.*want at least"):
        run_audit(audit)
