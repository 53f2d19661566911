"""The benchmarks run and write what they promise, at toy size. No time is asserted anywhere."""

import json
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="benchmarks/ lies beside the package in a clone only")

from benchmarks.__main__ import BENCHMARKS, table
from benchmarks.measuring import Paired, in_turns, percentile, save
from benchmarks.serving import Spent


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_runs_and_writes_its_numbers(name: str, tmp_path: Path) -> None:
    outcome = BENCHMARKS[name](quick=True, toy=True)
    assert outcome.name == name
    found = json.loads(save(outcome, tmp_path, command="test").read_text())
    assert set(found) == {"name", "title", "rows", "machine", "provenance"}
    assert {"created", "revision", "threads", "torch"} <= set(found["provenance"])
    assert all(value > 0 for row in found["rows"] for value in row["numbers"].values())
    assert table(outcome).row_count == len(found["rows"]) > 0


def test_a_ratio_is_the_median_over_neighbours_in_time() -> None:
    """A machine twice as slow in one turn slows both, and the ratio does not see it."""
    pair = Paired(ours=[1.1, 2.2, 9.0], floor=[1.0, 2.0, 3.0])
    assert pair.ratio == pytest.approx(1.1)
    assert [pair.row("x", goal).met for goal in (1.05, 1.15)] == [False, True]


def test_turns_alternate_who_is_first() -> None:
    calls: list[str] = []
    pair = in_turns(lambda: calls.append("o"), lambda: calls.append("f"), turns=3, warm_up=1)
    assert "".join(calls) == "of" + "of" + "fo" + "of"
    assert len(pair.ours) == len(pair.floor) == 3


def test_percentiles_interpolate() -> None:
    assert percentile([float(v) for v in range(101)], 99) == pytest.approx(99.0)


def test_a_server_that_worked_for_less_than_a_tick_has_a_share() -> None:
    """Its process's clock then stands still; the model's thread's, which is finer, does not."""
    assert 0 < Spent(model=0.002, model_cpu=0.001, cpu=0.0).model_share < 1
    assert Spent(model=4.0, model_cpu=3.0, cpu=6.0).model_share == pytest.approx(0.5)
