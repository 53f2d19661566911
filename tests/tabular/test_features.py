from pathlib import Path

import pytest
import torch
from tests.support.table_toys import COLOUR, numbers

from clonecost.errors import QueryError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.tabular.features import Extraction, bounds, check_rows, corner_rows, uniform_rows
from clonecost.types import Feature, ThreatModel

AGE = Feature(name="age", low=18, high=99)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"low": 1, "high": 1}, "the range 1 to 1"),
        ({"low": float("nan")}, "the range nan"),
        ({"high": float("inf")}, "to inf"),
        ({"categories": ("one",)}, "two categories or more, and has one"),
    ],
)
def test_a_feature_without_a_range_is_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Feature(name="x", **settings)  # type: ignore[arg-type]


def test_uniform_rows_fill_their_ranges() -> None:
    features = (AGE, COLOUR, *numbers(3))
    rows = uniform_rows(features, 6_000, torch.Generator().manual_seed(0))
    check_rows(features, rows)
    assert 18 <= float(rows[:, 0].min()) < 18.5
    assert 98.5 < float(rows[:, 0].max()) <= 99
    assert all(abs(int(n) - 2_000) < 200 for n in rows[:, 1].long().bincount(minlength=3))


def test_corner_rows_lie_in_the_ranges_and_spread_further() -> None:
    features = (AGE, COLOUR, *numbers(30))
    rows = corner_rows(features, 2_000, torch.Generator().manual_seed(0))
    check_rows(features, rows)
    assert all(abs(int(n) - 667) < 120 for n in rows[:, 1].long().bincount(minlength=3))
    low, high = bounds(features)
    places = ((rows - low) / (high - low))[:, 2:].mean(1)
    assert places.quantile(0.05) < 0.3
    assert places.quantile(0.95) > 0.7  # uniform: 0.41 to 0.59


def test_a_larger_count_starts_with_the_same_rows() -> None:
    few, many = (uniform_rows((AGE, COLOUR), n, torch.Generator().manual_seed(3)) for n in (7, 700))
    assert torch.equal(few, many[:7])


def test_extraction_scales_numbers_and_spreads_categories() -> None:
    extract = Extraction((AGE, COLOUR))
    extracted = extract(torch.tensor([[18.0, 2.0], [99.0, 0.0], [58.5, 1.0]]))
    expected = [[-1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert extract.width == 4
    assert torch.equal(extracted, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([17.0, 0.0], "the feature 'age' takes a number from 18 to 99; got 17 in row 1"),
        ([float("nan"), 0.0], "'age' takes a number from 18 to 99; got nan in row 1"),
        ([20.0, 0.5], "the feature 'colour' takes one of its 3 categories, 0 to 2; got 0.5"),
        ([20.0, 3.0], "'colour' takes one of its 3 categories"),
    ],
)
def test_the_oracle_refuses_values_that_a_feature_does_not_accept(
    row: list[float], sentence: str, tmp_path: Path
) -> None:
    threat = ThreatModel(input_shape=(2,), num_classes=2, query_budget=10, features=(AGE, COLOUR))
    ledger = Ledger(tmp_path / "ledger.sqlite", audit="", input_shape=(2,), num_classes=2)

    def victim(inputs: torch.Tensor, /) -> torch.Tensor:
        raise AssertionError("a query was sent")

    oracle = Oracle(victim, threat, ledger)
    with pytest.raises(QueryError, match=sentence):
        oracle(torch.tensor([[20.0, 1.0], row]))
    assert oracle.spent == 0
    ledger.close()


def test_missing_values_need_an_api_that_accepts_them() -> None:
    rows = torch.tensor([[float("nan"), 1.0], [20.0, float("nan")]])
    check_rows((AGE, COLOUR), rows, incomplete=True)
    with pytest.raises(QueryError, match="got nan in row 0"):
        check_rows((AGE, COLOUR), rows)
    with pytest.raises(QueryError, match="got 17 in row 0"):
        check_rows((AGE, COLOUR), torch.tensor([[17.0, 0.0]]), incomplete=True)


def test_answers_in_float64_are_returned_exactly(tmp_path: Path) -> None:
    """Live and replayed, for tables only, where exact attacks need it."""
    exact = torch.tensor([[1 / 3, 2 / 3]], dtype=torch.float64)
    rows = torch.tensor([[20.0, 1.0], [30.0, 2.0]])
    answers = []
    for features in ((AGE, COLOUR), (AGE, COLOUR), None):
        threat = ThreatModel(input_shape=(2,), num_classes=2, query_budget=4, features=features)
        name = "table" if features else "pixels"
        ledger = Ledger(tmp_path / name, audit="", input_shape=(2,), num_classes=2)
        oracle = Oracle(lambda inputs: exact.expand(len(inputs), -1), threat, ledger)
        answers.append(oracle(rows if features else rows / 100))
        assert ledger.totals("attack").settled == 2  # the second pass was a replay
        assert ledger.verify() == []
        ledger.close()
    live, replayed, pixels = answers
    assert live.dtype == replayed.dtype == torch.float64
    assert torch.equal(live, exact.expand(2, -1))
    assert torch.equal(live, replayed)
    assert pixels.dtype == torch.float32
