"""Tasks on a Ray cluster of several nodes on this machine, of which some are lost on the way."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.ray_clusters import ray_cluster

from clonecost.errors import CloneCostError, SpecError
from clonecost.version import __version__
from clonecost.workers import Task, at_once
from clonecost.workers.ray_pool import on_ray

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with ray_cluster(monkeypatch) as cluster:
        yield cluster


def write(path: Path, seconds: float) -> CloneCostError | None:
    """Take some time, and note in the file that it is done."""
    with path.open("a") as file:
        file.write(f"began {os.getpid()}\n")
    time.sleep(seconds)
    with path.open("a") as file:
        file.write("ended\n")
    return None


def die_once(path: Path) -> CloneCostError | None:
    first = not path.exists()
    path.touch()
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def tasks(folder: Path, count: int, seconds: float) -> list[Task]:
    return [
        Task(title=str(k), folder=folder, call=partial(write, folder / str(k), seconds))
        for k in range(count)
    ]


def test_a_node_that_is_lost_and_a_worker_that_is_killed_lose_no_task(
    cluster: Any, tmp_path: Path
) -> None:
    todo = [
        *tasks(tmp_path, 4, 2.0),
        Task(title="dies", folder=tmp_path, call=partial(die_once, tmp_path / "dies")),
    ]
    lost = list[Any]()

    def lose_a_node() -> None:
        if not lost and len(list(tmp_path.iterdir())) >= 2:
            lost.append(max(cluster.worker_nodes, key=lambda node: node.node_id))
            cluster.remove_node(lost[0])

    ended = dict(at_once(todo, partial(on_ray, cluster.address), beat=lose_a_node))
    assert ended == dict.fromkeys(range(5))
    assert lost
    assert all((tmp_path / str(k)).read_text().endswith("ended\n") for k in range(4))
    assert any((tmp_path / str(k)).read_text().count("began") > 1 for k in range(4))


def test_a_head_that_starts_again_loses_no_task(cluster: Any, tmp_path: Path) -> None:
    restarted = list[bool]()

    def restart() -> None:
        if not restarted and len(list(tmp_path.iterdir())) >= 2:
            restarted.append(True)
            cluster.head_node.kill_gcs_server()
            cluster.head_node.start_gcs_server()

    ended = dict(at_once(tasks(tmp_path, 4, 2.0), partial(on_ray, cluster.address), beat=restart))
    assert restarted
    assert ended == dict.fromkeys(range(4))


def test_what_the_cluster_lacks_is_one_sentence(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = partial(write, tmp_path / "a", 0)
    for what, cpus, gpus in (("GPUs", 1.0, 0.25), ("cores", 2.0, 0.0)):
        task = Task(title="a", folder=tmp_path, call=call, cpus=cpus, gpus=gpus)
        with pytest.raises(SpecError, match=f"No machine .* has the {what} that a run takes"):
            list(at_once([task], partial(on_ray, cluster.address)))
    monkeypatch.setattr("clonecost.workers.ray_pool.__version__", "0.0.1")
    ((_, error),) = at_once(tasks(tmp_path, 1, 0), partial(on_ray, cluster.address))
    assert f"another version of clonecost: got {__version__}, want 0.0.1" in str(error)


def test_nothing_answers_at_an_address(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"No Ray cluster answers at 127\.0\.0\.1:1"):
        list(at_once(tasks(tmp_path, 1, 0), partial(on_ray, "127.0.0.1:1")))
