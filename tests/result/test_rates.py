"""Wilson's interval is scipy's."""

import pytest
from scipy.stats import binomtest

from clonecost.result import Rate


@pytest.mark.parametrize("rows", [1, 2, 9, 539, 100_000])
def test_the_interval_of_a_share_is_wilsons(rows: int) -> None:
    for hits in {0, 1, rows // 3, rows // 2, rows - 1, rows}:
        found, wanted = Rate.of(hits, rows), binomtest(hits, rows).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-15)
        assert found.value == hits / rows
