"""A table behind MLServer's own server for scikit-learn: no metadata, FP64, labels by default."""

from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.support.foreign import mlserver, needs_mlserver, sklearn_model

from clonecost.attacks.tramer_lr import TramerLr
from clonecost.audit import Audit, RunOptions, Watcher, run_audit
from clonecost.config import EVERYTHING, make_spec
from clonecost.data.tables import load_table
from clonecost.errors import VictimError
from clonecost.result import Result
from clonecost.types import ThreatModel
from clonecost.victims import sklearn_victim
from clonecost.workflows.run import run_spec


def audit(url: str, folder: Path, attack: str, endpoint: dict[str, Any], **keys: Any) -> Result:
    spec = make_spec({
        "victim": url, "test": "iris", "attack": attack, "budget": 400, "uniform": 50,
        "device": "cpu", "rate": 1e6, "endpoint": endpoint, **keys,
    })  # fmt: skip
    ((_, result),) = run_spec(spec, folder, watch=lambda _: Watcher(), consent=EVERYTHING)
    return result


@needs_mlserver
def test_a_pipeline_is_solved_as_in_memory(tmp_path: Path) -> None:
    train, test = load_table("iris", "train"), load_table("iris", "test")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(train.inputs.double().numpy(), train.labels.numpy())
    joblib.dump(model, tmp_path / "iris.joblib")
    threat = ThreatModel(input_shape=(4,), num_classes=3, query_budget=400, features=test.features)
    here = run_audit(Audit(
        victim=sklearn_victim(model), threat=threat, attack=TramerLr(), test=test,
        out=tmp_path / "here", options=RunOptions(uniform=50),
    ))  # fmt: skip
    with mlserver(sklearn_model(tmp_path / "iris.joblib"), tmp_path / "server") as url:
        with pytest.raises(VictimError, match=r"metadata .* are empty.*predict_proba"):
            audit(url, tmp_path / "none", "tramer_lr", {})
        probs = {"input": "x", "output": "predict_proba"}
        there = audit(url, tmp_path / "there", "tramer_lr", probs)
        labels = audit(
            url, tmp_path / "labels", "tramer_adaptive_retrain",
            {"input": "x", "output": "predict"}, answers="label",
        )  # fmt: skip
    assert here.spent == there.spent == 20
    assert there.curve[-1].agreement.value == 1
    clones = [load_file(tmp_path / one / "clone.safetensors") for one in ("here", "there")]
    for key, value in clones[0].items():
        torch.testing.assert_close(clones[1][key], value, atol=1e-6, rtol=0)
    assert labels.spent == 400
    assert labels.curve[-1].agreement.value > 0.9
