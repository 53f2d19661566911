"""What happens in runs, written to TensorBoard or MLflow by their own libraries.

The events of run folders are read, see `persistence.event_file`, so that it works on a run that
goes on, on a finished one, and on those of other machines. Each value has the number of queries as
its step, and the time of its event.
"""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from clonecost.errors import Advice, CloneCostError, RunError, SpecError
from clonecost.persistence.atomic_write import atomic_write
from clonecost.persistence.event_file import Event, read
from clonecost.safe_text import first_line

START = datetime.min.replace(tzinfo=UTC)
SCORES = ("agreement", "low", "high", "corrected_agreement", "accuracy")
NAMES = {"low": "agreement_low", "high": "agreement_high"}
ABOUT = ("attack", "victim", "budget", "price", "seed", "host")  # of the event `begin`


@dataclass(frozen=True)
class Point:
    """One value of a run.

    Example:
        >>> Point("rows", 200.0, 200, datetime(2026, 1, 1, tzinfo=UTC)).name
        'rows'
    """

    name: str
    value: float
    queries: int
    time: datetime


class Tracker(Protocol):
    """Where the values of runs are written; a run has a name, its folder below the watched one."""

    def seen(self, run: str) -> datetime:
        """The time of the last event that was written; `START`: none."""
        ...

    def write(self, run: str, about: Event, points: Sequence[Point], last: Event) -> None:
        """Add values to a run; `about` is the event of its beginning, `last` the newest one."""
        ...


def points(events: Sequence[Event]) -> Iterator[Point]:
    """Rows and money of the attack so far, and the scores of each milestone.

    Example:
        >>> time = datetime(2026, 1, 1, tzinfo=UTC)
        >>> begin = {"event": "begin", "time": time, "price": 1.5}
        >>> spent = {"event": "spent", "time": time, "rows": 200}
        >>> [(point.name, point.value) for point in points([begin, spent])]
        [('rows', 200.0), ('cost_usd', 0.3)]
    """
    price = None
    for event in events:
        if event["event"] == "begin":
            price = event.get("price")
        elif event["event"] in ("spent", "end", "stop") and isinstance(event.get("rows"), int):
            rows = event["rows"]
            yield Point("rows", float(rows), rows, event["time"])
            if isinstance(price, int | float):
                yield Point("cost_usd", rows * price / 1000, rows, event["time"])
        elif event["event"] == "scored" and isinstance(event.get("queries"), int):
            for key in SCORES:
                if isinstance(event.get(key), int | float):
                    name = NAMES.get(key, key)
                    yield Point(name, float(event[key]), event["queries"], event["time"])


def follow(runs: Sequence[tuple[str, Path]], tracker: Tracker) -> int:
    """Write what is new in the runs, each with its name; returns how many values that were.

    Example:
        >>> follow([], TensorBoard(Path("logs")))  # doctest: +SKIP
        0
    """
    written = 0
    for name, folder in runs:
        events = list(read(folder))
        since = tracker.seen(name)
        if not events or events[-1]["time"] <= since:
            continue
        about = next((event for event in events if event["event"] == "begin"), {})
        new = [point for point in points(events) if point.time > since]
        tracker.write(name, about, new, events[-1])
        written += len(new)
    return written


class TensorBoard:
    """A folder of TensorBoard (extra `tensorboard`), with a folder for each run in it.

    Raises:
        SpecError: the package tensorboard is not installed.
    """

    SEEN = "clonecost.json"

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("TensorBoard", "tensorboard") from error
        self._writer: Any = SummaryWriter
        self._folder = folder

    def seen(self, run: str) -> datetime:
        try:
            return datetime.fromisoformat(
                json.loads((self._folder / run / self.SEEN).read_bytes())["last"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return START

    def write(self, run: str, about: Event, points: Sequence[Point], last: Event) -> None:
        place = self._folder / run
        with _said(f"The folder {place}"):
            place.mkdir(parents=True, exist_ok=True)
            with closing(self._writer(str(place))) as writer:
                for point in points:
                    writer.add_scalar(
                        point.name, point.value, point.queries, point.time.timestamp()
                    )
            atomic_write(place / self.SEEN, json.dumps({"last": last["time"].isoformat()}).encode())


class MLflow:
    """A tracking server or folder of MLflow (extra `mlflow`); each run folder is a run there.

    Raises:
        SpecError: the package mlflow is not installed.
        RunError: the server does not answer.
    """

    FOLDER, SEEN, EXPERIMENT = "clonecost.run", "clonecost.last", "clonecost"

    def __init__(self, address: str) -> None:
        try:
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as error:
            raise _missing("MLflow", "mlflow") from error
        self._said = f"MLflow at {address}"
        with _said(self._said):
            self._client: Any = MlflowClient(tracking_uri=address)
            held = self._client.get_experiment_by_name(self.EXPERIMENT)
            self._experiment = (
                held.experiment_id if held else self._client.create_experiment(self.EXPERIMENT)
            )

    def seen(self, run: str) -> datetime:
        with _said(self._said):
            held = self._held(run)
            last = held.data.tags.get(self.SEEN) if held else None
            return datetime.fromisoformat(last) if last else START

    def write(self, run: str, about: Event, points: Sequence[Point], last: Event) -> None:
        from mlflow.entities import Metric, Param, RunTag

        with _said(self._said):
            held = self._held(run) or self._client.create_run(
                self._experiment, start_time=_milliseconds(last["time"]), run_name=run,
                tags={self.FOLDER: self._tag(run)},
            )  # fmt: skip
            number = held.info.run_id
            params = [
                Param(key, str(about[key])) for key in ABOUT if about.get(key) is not None
            ] if not held.data.params else []  # fmt: skip
            metrics = [
                Metric(point.name, point.value, _milliseconds(point.time), point.queries)
                for point in points
            ]
            for first in range(0, max(1, len(metrics)), 1_000):  # as many as a server takes
                self._client.log_batch(
                    number, metrics=metrics[first : first + 1_000], params=params
                )
                params = []
            seen = RunTag(self.SEEN, last["time"].isoformat())
            self._client.log_batch(number, tags=[seen])
            state = {"end": "FINISHED", "stop": "KILLED"}.get(last["event"], "RUNNING")
            self._client.update_run(number, status=state)

    def _held(self, run: str) -> Any:
        """The run of MLflow for a run folder, or None."""
        found = self._client.search_runs(
            [self._experiment], f"tags.`{self.FOLDER}` = '{self._tag(run)}'", max_results=1
        )
        return found[0] if found else None

    @staticmethod
    def _tag(run: str) -> str:
        return f"{socket.gethostname()}:{run}".replace("'", "_")


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _missing(name: str, extra: str) -> SpecError:
    return SpecError(
        f"{name} needs the package {extra}, which is not installed",
        Advice(f"run `pip install 'clonecost[{extra}]'`"),
    )


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Whatever a library raises, in one sentence."""
    try:
        yield
    except CloneCostError:
        raise
    except Exception as error:
        raise RunError(
            f"{what} cannot be written ({first_line(error)}).",
            Advice("check the address and the disk; the same command goes on where it ended"),
        ) from error
