from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array

from clonecost.text.soft_regression import fit_soft


def test_few_rows_of_many_features_are_solved_in_their_own_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def counted(loss: Any, first: Any, **options: Any) -> Any:
        sizes.append(len(first))
        return minimize(loss, first, **options)

    monkeypatch.setattr("clonecost.text.soft_regression.minimize", counted)
    rng = np.random.default_rng(0)
    v = rng.random((60, 400)) * (rng.random((60, 400)) < 0.3)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    wanted = rng.dirichlet([1.0, 1.0, 1.0], 60)
    few = fit_soft(csr_array(v), wanted)
    assert max(sizes) <= 3 * 61
    many = fit_soft(v, wanted)
    assert few.shape == many.shape == (401, 3)
    assert np.abs(few - many).max() < 0.02 * np.abs(many).max()
