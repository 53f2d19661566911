"""An audit through a spec alone: accuracy and answers are the model's own, whatever the API."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.other_peoples_apis import (
    APIS,
    DIGITS,
    EXAMPLES,
    WORDS,
    OtherApi,
    digits,
    serving_other,
    table,
)

from clonecost.audit import Watcher
from clonecost.config import EVERYTHING, make_spec
from clonecost.oracle.ledger import Ledger
from clonecost.result import Result
from clonecost.workflows.run import run_spec

ROWS = 40


def audit(
    api: OtherApi, folder: Path, test: Path, **keys: Any
) -> tuple[Result, np.ndarray[Any, Any]]:
    with serving_other(api) as url:
        written = api.keys | {
            "victim": "theirs", "test": str(test), "budget": 16, "milestones": [], "rate": 1e6,
            "device": "cpu", "spot_check": 0, **keys,
        }  # fmt: skip
        written["endpoint"] = {**written["endpoint"], "url": url}
        spec = make_spec(written)
        ((_, result),) = run_spec(spec, folder, watch=lambda _: Watcher(), consent=EVERYTHING)
    with closing(Ledger.read(folder / "ledger.sqlite")) as ledger:
        bought = ledger.recorded("evaluation", 0, ROWS)
    assert bought is not None
    return result, bought.answers.numpy()


@pytest.mark.parametrize("name", [name for name, api in APIS.items() if api.images])
def test_images(name: str, tmp_path: Path) -> None:
    api, (model, pixels, labels) = APIS[name], digits()
    flat = pixels[:ROWS].reshape(ROWS, -1) / 255
    own, labels, names = model.predict_proba(flat), labels[:ROWS], list(DIGITS)
    if name == "one number":
        own, labels = np.stack([own[:, :5].sum(1), own[:, 5:].sum(1)], 1), labels >= 5
        names = ["low", "high"]
    several = name == "several labels"  # digits that are each as likely as the square root
    if several:
        own = np.concatenate([np.sqrt(own), 1 - np.sqrt(own)], 1) / 10
    if top_k := api.keys["endpoint"].get("top_k"):
        own = np.where(own >= np.sort(own)[:, [-top_k]], own, 0)
        own /= own.sum(1, keepdims=True)
    np.savez(tmp_path / "test.npz", inputs=pixels[:ROWS, None], labels=labels.astype(int))
    np.savez(tmp_path / "proxy.npz", inputs=pixels[ROWS:80, None])
    (tmp_path / "classes.txt").write_text("\n".join(names))
    result, answers = audit(
        api, tmp_path / "run", tmp_path / "test.npz", attack="knockoff",
        class_names=str(tmp_path / "classes.txt"), proxy=str(tmp_path / "proxy.npz"),
        student="half-lenet", input_precision="uint8", set={"knockoff": {"epochs": 1}},
    )  # fmt: skip
    shown = ("top_k", top_k) if top_k else ("probs", None)
    assert (result.threat.answers, result.threat.top_k) == shown
    if several:  # what a row's one label says of the others is not known
        assert result.victim.accuracy is None
        assert [one.name for one in result.per_class] == names
    else:
        assert result.victim.accuracy is not None
        assert result.victim.accuracy.value == pytest.approx((own.argmax(1) == labels).mean())
    np.testing.assert_allclose(answers, own, atol=1e-6)
    assert result.victim.classes == names


@pytest.mark.parametrize("name", [name for name, api in APIS.items() if not api.images])
def test_rows_of_a_table(name: str, tmp_path: Path) -> None:
    api, (model, frame, labels) = APIS[name], table()
    frame.assign(label=labels)[:ROWS].to_csv(tmp_path / "test.csv", index=False)
    features = [
        {"name": "age", "low": 18, "high": 90},
        {"name": "colour", "categories": ["red", "green", "blue"]},
        {"name": "doors", "categories": ["2", "4"]},
    ]
    result, answers = audit(
        api, tmp_path / "run", tmp_path / "test.csv", attack="tramer_adaptive_retrain",
        features=features, uniform=0,
    )  # fmt: skip
    own = model.predict_proba(frame[:ROWS])
    assert result.victim.accuracy is not None
    assert result.victim.accuracy.value == pytest.approx(model.score(frame[:ROWS], labels[:ROWS]))
    np.testing.assert_allclose(answers, own, atol=1e-9)
    assert result.victim.classes == list(WORDS)


def test_every_example_is_served_here() -> None:
    examples = {path.stem for path in EXAMPLES.glob("*.toml")}
    examples -= {"text"}  # served in tests/victims/endpoints/test_texts.py
    assert {api.spec for api in APIS.values() if isinstance(api.spec, str)} == examples
