import pytest

from clonecost.report import number_format as numbers


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.912, 0, "91 %"),
        (0.896, 0, "89.6 %"),  # "90 %" would be another verdict
        (0.9, 0, "90 %"),
        (0.8999, 1, "89.99 %"),
        (0.9996, 0, "99.96 %"),  # not perfect
        (1.0, 0, "100 %"),
        (0.0, 1, "0.0 %"),
        (0.0004, 0, "0.04 %"),
        (1.024, 1, "102.4 %"),  # relative accuracy may exceed 1
        (float("inf"), 1, "–"),
    ],
)
def test_rounding_never_crosses_a_threshold(value: float, decimals: int, shown: str) -> None:
    assert numbers.percent(value, decimals) == shown


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0, "<1 %"), (0.004, "<1 %"), (0.006, "1 %"), (0.5, "50 %"), (0.994, "99 %"), (1, ">99 %")],
)
def test_probabilities_are_never_rounded_to_certainty(probability: float, shown: str) -> None:
    assert numbers.probability_percent(probability) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0"),
        (0.001, "< $0.01"),
        (0.35, "$0.35"),
        (2.5, "$2.50"),
        (20.2, "$20"),
        (1234, "$1,234"),
    ],
)
def test_money(amount: float, shown: str) -> None:
    assert numbers.usd(amount) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations(seconds: float, shown: str) -> None:
    assert numbers.duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (1, "query", "1 query"),
        (20_000, "query", "20,000 queries"),
        (2, "search", "2 searches"),
        (3, "class", "3 classes"),
        (0, "seed", "0 seeds"),
    ],
)
def test_plurals(number: int, noun: str, shown: str) -> None:
    assert numbers.count(number, noun) == shown
