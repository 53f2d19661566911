"""Rows of a table in float64: sent, recorded, kept and replayed to the last digit."""

from pathlib import Path

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_toys import linear_toy, numbers

from clonecost.errors import CloneCostError, QueryError, SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import InputPrecision, ThreatModel

TOY = linear_toy(numbers(3), 3)
ROWS = torch.tensor([[0.1, 0.2, 0.3], [0.1 + 1e-12, 0.2, 0.3]], dtype=torch.float64)


def threat(precision: InputPrecision) -> ThreatModel:
    return ThreatModel(
        input_shape=(3,), num_classes=3, query_budget=10, features=TOY.features,
        input_precision=precision,
    )  # fmt: skip


def opened(path: Path) -> Ledger:
    return Ledger(path / "ledger.sqlite", audit="toy", input_shape=(3,), num_classes=3)


def test_they_reach_the_victim_and_come_back_from_the_ledger(tmp_path: Path) -> None:
    victim = RecordingVictim(TOY.answer)
    ledger = opened(tmp_path)
    first = Oracle(victim, threat("float64"), ledger, keep=True)(ROWS)
    assert not torch.equal(first[0], first[1])  # a float32 row would be the same twice
    inputs, answers = ledger.bought()
    assert torch.equal(inputs, ROWS)
    assert torch.equal(answers, first)
    assert not ledger.rows_without_inputs()
    assert ledger.verify() == []
    ledger.close()
    again = opened(tmp_path)
    assert torch.equal(Oracle(victim, threat("float64"), again, keep=True)(ROWS), first)
    assert victim.seen == 2
    with pytest.raises(CloneCostError, match="differ from those of the recorded run"):
        Oracle(victim, threat("float64"), again)(ROWS.flip(0))
    again.close()


def test_float32_rows_are_the_same_numbers_in_float64(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    rows = ROWS.float()
    answers = Oracle(TOY.answer, threat("float64"), ledger, keep=True)(rows)
    assert torch.equal(ledger.bought()[0], rows.double())
    assert torch.equal(answers, TOY.answer(rows))
    ledger.close()


def test_they_are_refused_where_rows_are_float32(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with pytest.raises(QueryError, match="wrong dtype"):
        Oracle(TOY.answer, threat("float32"), ledger)(ROWS)
    ledger.close()


def test_images_have_no_float64() -> None:
    with pytest.raises(SpecError, match="float64 inputs are rows of a table"):
        ThreatModel(input_shape=(1, 8, 8), num_classes=3, query_budget=1, input_precision="float64")
