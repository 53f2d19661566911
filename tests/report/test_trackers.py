"""What happens in runs is written to trackers once, also when a run goes on later."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli_runs import assert_one_sentence, run

from clonecost.persistence.event_file import Event, append, read
from clonecost.report.trackers import START, MLflow, Point, TensorBoard, Tracker, follow, points

pytestmark = pytest.mark.filterwarnings("default")  # those of the trackers' libraries


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "ledger.sqlite").touch()
    append(folder, "begin", attack="dfme", victim="mine", budget=400, price=1.5, seed=0,
           process=1, host="elsewhere")  # fmt: skip
    append(folder, "spent", rows=200, budget=400)
    return folder


def end(folder: Path) -> None:
    append(folder, "scored", queries=400, agreement=0.5, low=0.4, high=0.6,
           corrected_agreement=0.3, accuracy=None)  # fmt: skip
    append(folder, "spent", rows=400, budget=400)
    append(folder, "end", rows=400)


EXPECTED = {
    "rows": [(200, 200.0), (400, 400.0), (400, 400.0)],
    "cost_usd": [(200, 0.3), (400, 0.6), (400, 0.6)],
    "agreement": [(400, 0.5)], "agreement_low": [(400, 0.4)], "agreement_high": [(400, 0.6)],
    "corrected_agreement": [(400, 0.3)],
}  # fmt: skip


def test_values_have_the_queries_as_their_step(begun: Path) -> None:
    end(begun)
    found: dict[str, list[tuple[int, float]]] = {}
    for point in points(list(read(begun))):
        found.setdefault(point.name, []).append((point.queries, point.value))
    assert found == EXPECTED


class Kept(Tracker):
    """A tracker in memory."""

    def __init__(self) -> None:
        self.last, self.points = START, list[Point]()

    def seen(self, run: str) -> datetime:
        return self.last

    def write(self, run: str, about: Event, points: Sequence[Point], last: Event) -> None:
        assert about["attack"] == "dfme"
        self.points.extend(points)
        self.last = last["time"]


def test_every_value_is_written_once(begun: Path) -> None:
    kept = Kept()
    counts = [follow([("one", begun)], kept), follow([("one", begun)], kept)]
    end(begun)
    counts += [follow([("one", begun)], kept), follow([("one", begun)], kept)]
    assert counts == [2, 0, 8, 0]
    assert len(kept.points) == 10


def test_missing_packages_name_the_extra(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
        said = run("watch", begun, f"--{package}", begun.parent / "logs")
        assert_one_sentence(said, f"pip install 'clonecost[{package}]'")


def test_tensorboard_reads_what_was_written(begun: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = tmp_path / "logs"
    assert follow([("a/one", begun)], TensorBoard(logs)) == 2
    end(begun)
    said = run("watch", begun.parent, "--tensorboard", logs)
    assert said.out == "10 new values of 1 run\n"
    assert run("watch", begun.parent, "--tensorboard", logs).out == "0 new values of 1 run\n"
    held = EventAccumulator(str(logs / "one"))
    held.Reload()
    found = {
        name: [(one.step, round(one.value, 6)) for one in held.Scalars(name)]
        for name in held.Tags()["scalars"]
    }
    assert found == EXPECTED
    (logs / "two").touch()
    with pytest.raises(Exception, match="two cannot be written"):
        follow([("two", begun)], TensorBoard(logs))


def test_mlflow_reads_what_was_written(begun: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    tracker: Any = MLflow(address)
    assert follow([("one", begun)], tracker) == 2
    end(begun)
    assert run("watch", begun.parent, "--mlflow", address).out == "8 new values of 1 run\n"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=address)
    (held,) = client.search_runs([client.get_experiment_by_name("clonecost").experiment_id])
    assert held.info.status == "FINISHED"
    assert json.loads(held.data.params["budget"]) == 400
    assert held.data.metrics["agreement"] == 0.5
    history = client.get_metric_history(held.info.run_id, "cost_usd")
    assert {(one.step, one.value) for one in history} == set(EXPECTED["cost_usd"])
