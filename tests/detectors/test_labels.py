"""Labels: chi-square with over-dispersion, and why a fixed distance is no alternative."""

import numpy as np
import pytest
from tests.support.digit_streams import honest

from clonecost.detectors.base import Stream, counts_at_looks, looks
from clonecost.detectors.labels import Labels, chi_square, over_dispersion

K = 10


def of_classes(top: "np.typing.NDArray[np.int64]") -> Stream:
    return Stream(digests=np.arange(2 * len(top), dtype=np.uint64).view("V16"), top=top, classes=K)


@pytest.mark.parametrize(("rows", "mean"), [(128, 0.1058), (4096, 0.0187)])
def test_chance_alone_moves_the_total_variation_distance(rows: int, mean: float) -> None:
    counts = np.random.default_rng(0).multinomial(rows, [1 / K] * K, size=4_000)
    distance = np.abs(counts / rows - 1 / K).sum(1).mean() / 2
    by_formula = K / 2 * np.sqrt(2 / K * (1 - 1 / K) / (np.pi * rows))
    assert abs(distance - mean) < 0.03 * mean
    assert abs(by_formula - mean) < 0.03 * mean


def test_counts_at_every_look() -> None:
    top = np.random.default_rng(0).integers(0, K, 90)
    want = [np.bincount(top[:n], minlength=K) for n in looks(90)]
    np.testing.assert_array_equal(counts_at_looks(top, K), want)


def test_chi_square_of_a_known_table() -> None:
    observed = np.array([[20.0, 10.0, 30.0]])
    assert chi_square(observed, np.full(3, 1 / 3))[0] == pytest.approx(10.0)


def test_over_dispersion_is_found_again() -> None:
    rng = np.random.default_rng(1)
    shares, concentration = np.full(K, 1 / K), 20.0
    drawn = rng.dirichlet(shares * concentration, size=400)
    skewed = [of_classes(rng.choice(K, 200, p=p)) for p in drawn]
    assert over_dispersion(shares, skewed) == pytest.approx(1 / (1 + concentration), rel=0.15)
    alike = [of_classes(rng.choice(K, 200, p=shares)) for _ in range(400)]
    assert over_dispersion(shares, alike) < 0.002
    assert over_dispersion(shares, []) == 0


def test_skew_that_users_have_is_no_alarm() -> None:
    rng = np.random.default_rng(2)
    rows = honest()
    one_shop = of_classes(rng.choice(3, 300))
    skewed = [of_classes(rng.choice(3, 300) + rng.integers(0, 8)) for _ in range(50)]
    strict = Labels().learn(rows, [rows.take(slice(300))])
    lenient = Labels().learn(rows, skewed)
    assert strict(one_shop)[-1] > 50
    assert lenient(one_shop)[-1] < 5
