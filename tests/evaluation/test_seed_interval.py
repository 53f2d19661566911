"""The interval over seeds, against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from clonecost.evaluation.seed_interval import t_interval


def test_the_interval_over_seeds_is_students() -> None:
    for values in ([0.7, 0.8], [0.91, 0.905, 0.88], [0.1, 0.2, 0.15, 0.4, 0.35]):
        expected = stats.t.interval(
            0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
        )
        assert t_interval(values) == pytest.approx(expected, abs=1e-12)
