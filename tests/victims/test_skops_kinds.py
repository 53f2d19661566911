"""skops files of models that hold other models: they load as they are, or are refused by type."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from clonecost.errors import SetKey, VictimError
from clonecost.victims import load_victim

ROWS = np.random.default_rng(0).normal(size=(60, 3))
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
PAIR = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=2))]
MODELS: dict[str, Any] = {
    "sigmoid": CalibratedClassifierCV(LogisticRegression(), cv=2),
    "isotonic": CalibratedClassifierCV(LogisticRegression(), cv=2, method="isotonic"),
    "stacked": StackingClassifier(PAIR, cv=2),
    "voting": VotingClassifier(PAIR, voting="soft"),
    "boosted": HistGradientBoostingClassifier(max_iter=3),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_it_did_or_its_types_are_named(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name].fit(ROWS, LABELS), tmp_path / "model.skops"
    skops.io.dump(model, path)
    allow: tuple[str, ...] = ()
    if unknown := skops.io.get_untrusted_types(file=path):
        with pytest.raises(VictimError, match="not known to be harmless") as refused:
            load_victim(str(path), input_shape=(3,))
        assert unknown[0] in str(refused.value)
        (allow,) = [
            tuple(one.value)  # type: ignore[arg-type]
            for one in refused.value.remedies if isinstance(one, SetKey)
        ]  # fmt: skip
    victim = load_victim(str(path), input_shape=(3,), allow=allow)
    answers = victim.answer(torch.from_numpy(ROWS))
    np.testing.assert_allclose(answers.numpy(), model.predict_proba(ROWS), atol=1e-12)
