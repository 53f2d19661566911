"""A multi-label model is audited label by label; what takes one class a row is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clonecost.audit import Watcher
from clonecost.config import EVERYTHING, make_spec
from clonecost.errors import CloneCostError
from clonecost.result import Result
from clonecost.workflows.detect import detect
from clonecost.workflows.replay import replay
from clonecost.workflows.run import run_spec

NAMES = ["sky", "sea", "sand"]
MODULE = """
from torch import nn

class Photos(nn.Module):
    # a label for each of three quarters of the picture: whether it is bright
    def forward(self, inputs):
        quarters = nn.functional.adaptive_avg_pool2d(inputs, 2).flatten(1)
        return (12 * quarters[:, :3] - 6).sigmoid()

photos = Photos()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels")
    (path / "theirs.py").write_text(MODULE)
    (path / "names.txt").write_text("\n".join(NAMES))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (440, 1, 2, 2), dtype=np.uint8).repeat(8, 2).repeat(8, 3)
    # labels of one class a row say nothing of several labels, and are left out
    np.savez(path / "test.npz", inputs=pixels[:200], labels=rng.integers(0, 3, 200))
    np.savez(path / "proxy.npz", inputs=pixels[200:])
    return path


def audit(folder: Path, out: Path, **keys: Any) -> Result:
    spec = make_spec({
        "victim": f"{folder / 'theirs.py'}:photos", "test": str(folder / "test.npz"),
        "proxy": str(folder / "proxy.npz"), "attack": "knockoff:shared", "budget": 240,
        "milestones": [], "student": "half-lenet", "device": "cpu", "outputs": "multi_label",
        "class_names": str(folder / "names.txt"), "set": {"knockoff": {"epochs": 12}}, **keys,
    })  # fmt: skip
    ((_, result),) = run_spec(spec, out, watch=lambda _: Watcher(), consent=EVERYTHING)
    return result


def test_the_clone_learns_each_label(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = audit(folder, out, retrain=True, retrain_epochs=12)
    last = result.curve[-1]
    assert (result.threat.multi_label, result.threat.num_classes) == (True, 6)
    assert last.learnt
    assert last.corrected_agreement.low > 0.3
    assert result.retrained is not None
    assert result.retrained.learnt
    assert result.victim.accuracy is None
    assert [one.name for one in result.per_class] == result.victim.classes == NAMES
    shares = [one.rows / 200 for one in result.per_class]
    assert [one.majority for one in result.per_class] == [max(p, 1 - p) for p in shares]
    assert sum(one.agreement.value for one in result.per_class if one.agreement) / 3 == (
        pytest.approx(last.agreement.value)
    )
    assert len(result.traffic.class_histogram) == 3
    _, again = replay(out, "half-lenet", epochs=12)
    assert again.score.learnt
    with pytest.raises(CloneCostError, match="A detector takes one class a row"):
        detect(out)
    resumed = audit(folder, out, budget=250)  # a ledger of labels is taken up again
    assert resumed.spent == 250


def test_labels_alone_are_enough_for_a_worse_clone(folder: Path, tmp_path: Path) -> None:
    result = audit(folder, tmp_path / "run", answers="label")
    assert result.curve[-1].learnt


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "not said": ({"outputs": None}, r"is a multi-label model: .*Set `outputs='multi_label'`"),
    "one class": ({"attack": "dfme", "set": {}}, "dfme takes one class a row, .*want active_thief"),
    "defence": ({"defence": "rounding"}, "A defence takes one class a row"),
    "counter": ({"counter": "label_only"}, "A counter takes one class a row"),
    "names": ({"classes": 4}, "another number of names than the model has classes"),
    "top-k": ({"answers": "top_k:2"}, "A multi-label model has 2 L classes"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_one_sentence_refuses(what: str, folder: Path, tmp_path: Path) -> None:
    keys, sentence = REFUSED[what]
    with pytest.raises(CloneCostError, match=sentence):
        audit(folder, tmp_path / "run", **keys)
