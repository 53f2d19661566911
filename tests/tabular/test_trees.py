import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from clonecost.tabular.trees import tree_sum


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    x = np.random.default_rng(0).random((300, 3))
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    return x


def test_the_module_predicts_what_its_regressors_do_with_missing_values(rows: np.ndarray) -> None:
    filled = np.nan_to_num(rows)
    models = [
        HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=2).fit(rows, target)
        for target in (np.sin(6 * filled[:, 0]), filled[:, 1] * filled[:, 2])
    ]
    found = tree_sum(models)(torch.from_numpy(rows)).numpy()
    assert np.allclose(found, np.stack([model.predict(rows) for model in models], 1), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_module_of_a_classifier_gives_its_scores(rows: np.ndarray, classes: int) -> None:
    labels = (np.nan_to_num(rows).sum(1) * 2).astype(int) % classes
    model = HistGradientBoostingClassifier(max_iter=3).fit(rows, labels)
    found = tree_sum([model])(torch.from_numpy(rows)).numpy()
    assert np.allclose(found.squeeze(), model.decision_function(rows), atol=1e-12)
