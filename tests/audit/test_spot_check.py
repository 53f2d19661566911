"""A few rows are asked again: a victim that changes half way, or mixes up rows, is found out."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import BUDGET, MakeAudit
from torch import Tensor

from clonecost.audit import Watcher, run_audit
from clonecost.errors import VictimError
from clonecost.oracle.delivery import current
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.result import EndpointCard
from clonecost.types import Victim
from clonecost.workflows.verify import verify

TEST_ROWS = 400


def fickle(victim: Victim, at: int) -> Victim:
    """Another model from row `at` on."""
    recorded = RecordingVictim(victim)

    def answer(inputs: Tensor, /) -> Tensor:
        changed = recorded.seen >= at
        answers = recorded(inputs)
        return answers.roll(1, dims=1) if changed else answers

    return answer


def test_rows_are_counted_apart_and_the_clone_is_the_same(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    plain = run_audit(make_audit(spot_check=None, out=tmp_path / "plain"))
    counting = RecordingVictim(victim)
    checked = run_audit(make_audit(victim=counting, spot_check=20, out=tmp_path / "checked"))
    assert plain.spot_check is None  # a model in this process does not change
    found = checked.spot_check
    assert found is not None
    assert (found.rows, found.asked, found.changed) == (20, 20, 0)
    assert counting.seen == TEST_ROWS + BUDGET + 20
    assert checked.spent == BUDGET
    assert checked.provenance.ledger_rows == counting.seen
    assert checked.curve == plain.curve
    one, two = (tmp_path / out / "clone.safetensors" for out in ("plain", "checked"))
    assert one.read_bytes() == two.read_bytes()
    assert verify(tmp_path / "checked").faults == ()


def test_a_victim_at_the_end_of_a_wire_is_checked_by_default(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    card = EndpointCard(
        url="http://127.0.0.1/", protocol="test", authorisation=None, rate=9.0, rows_per_request=1,
        requests=1, latency=None, lost_limit=None,
    )  # fmt: skip
    wire: dict[str, Any] = {"endpoint": lambda: card}
    found = run_audit(make_audit(victim=victim, spot_check=None, **wire)).spot_check
    assert found is not None
    assert found.asked == 20
    off = RecordingVictim(victim)
    made = make_audit(victim=off, spot_check=0, out=tmp_path / "off", **wire)
    assert run_audit(made).spot_check is None
    assert off.seen == TEST_ROWS + BUDGET


@pytest.mark.parametrize("answers", ["probs", "label"])
def test_another_model_half_way_is_flagged(
    answers: str, victim: Victim, make_audit: MakeAudit
) -> None:
    audit = make_audit(victim=fickle(victim, TEST_ROWS + 900), spot_check=40)
    audit = replace(audit, threat=replace(audit.threat, answers=answers))  # type: ignore[arg-type]
    notices: list[str] = []
    result = run_audit(audit, Watcher(notice=notices.append))
    flag = next(flag for flag in result.flags if flag.code == "victim-changed")
    assert flag.severity == "warning"
    assert result.spot_check is not None
    assert result.spot_check.changed >= 20
    assert "The victim has changed" in notices[0]


def test_it_is_noticed_when_the_run_is_resumed(victim: Victim, make_audit: MakeAudit) -> None:
    failing = RecordingVictim(victim, fail_at=TEST_ROWS + 800)
    with pytest.raises(VictimError):
        run_audit(make_audit(victim=failing, spot_check=20))
    notices: list[str] = []
    other = fickle(victim, 0)
    result = run_audit(make_audit(victim=other, spot_check=20), Watcher(notice=notices.append))
    assert len(notices) == 2  # when it was resumed, and at the end
    assert result.spot_check is not None
    assert result.spot_check.rows == 40


def test_rows_out_of_order_are_found_out(victim: Victim, make_audit: MakeAudit) -> None:
    """Each answer is a fine answer, to another row: only asking again shows it."""
    result = run_audit(make_audit(victim=lambda x: victim(x).flip(0), spot_check=20))
    assert "victim-changed" in [flag.code for flag in result.flags]


def test_a_check_that_fails_costs_no_result(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    counting = RecordingVictim(victim, fail_at=TEST_ROWS + BUDGET)
    notices: list[str] = []
    result = run_audit(make_audit(victim=counting, spot_check=20), Watcher(notice=notices.append))
    assert "The spot check failed" in notices[0]
    assert [flag.code for flag in result.flags].count("spot-check-failed") == 1
    assert result.spot_check is not None
    assert result.spot_check.asked == 0
    assert verify(tmp_path / "run").faults == ()


def test_some_of_what_was_bought(victim: Victim, make_audit: MakeAudit, tmp_path: Path) -> None:
    audit = make_audit("dfme")
    run_audit(audit)
    ledger = Ledger.read(tmp_path / "run" / "ledger.sqlite")
    found = ledger.sample_bought(9, torch.Generator().manual_seed(0))
    assert found is not None
    inputs, answers = found
    assert torch.allclose(victim(inputs), answers, atol=1e-6)
    asks_proxy = make_audit(out=tmp_path / "other")
    run_audit(asks_proxy)
    other = Ledger.read(tmp_path / "other" / "ledger.sqlite")
    assert other.sample_bought(9, torch.Generator()) is None  # without the pool


def test_a_change_counts_although_the_other_half_of_the_check_fails(
    victim: Victim, make_audit: MakeAudit
) -> None:
    turned = fickle(victim, TEST_ROWS + BUDGET)  # from the spot check at the end on
    half_way = RecordingVictim(turned, fail_at=TEST_ROWS + BUDGET + 10)  # only its test rows
    result = run_audit(make_audit(victim=half_way, spot_check=20))
    codes = [flag.code for flag in result.flags]
    assert {"victim-changed", "spot-check-failed"} <= set(codes)
    assert result.spot_check is not None
    assert (result.spot_check.asked, result.spot_check.changed) == (10, 10)


def test_a_row_that_is_refused_now_and_was_answered_before_has_changed(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    counting = RecordingVictim(victim)

    def stricter(rows: Tensor, /) -> Tensor:
        if counting.seen >= TEST_ROWS + BUDGET:  # from the spot check at the end on
            current().refused_for_good(0, "422: no")
        return counting(rows)

    notices: list[str] = []
    result = run_audit(make_audit(victim=stricter, spot_check=20), Watcher(notice=notices.append))
    assert result.spot_check is not None
    assert (result.spot_check.rows, result.spot_check.asked, result.spot_check.changed) == (
        20,
        20,
        2,
    )
    assert "The victim has changed: 2 of 20 rows" in notices[0]
    assert verify(tmp_path / "run").faults == ()


def test_a_draw_of_refused_rows_alone_is_no_sample(tmp_path: Path) -> None:
    with closing(
        Ledger(tmp_path / "ledger.sqlite", audit="a", input_shape=(2,), num_classes=3)
    ) as ledger:
        inputs = torch.rand(3, 2)
        batch = ledger.reserve(
            account="attack", position=0, digests=row_digests(inputs), kept=pack(inputs, None)
        )
        ledger.settle(batch, torch.zeros(3, 3), refused=3, reason="422: no")
        assert ledger.sample_bought(2, torch.Generator()) is None
