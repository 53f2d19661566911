"""Tasks on Ray (extra `ray`): on this machine, or on a cluster.

Ray starts a task again whose worker or machine was lost. The run folders have to lie on a disk that
all machines share, and all need the same version of clonecost.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clonecost.errors import Advice, CloneCostError, SetKey, SpecError
from clonecost.safe_text import first_line
from clonecost.version import __version__
from clonecost.workers.pool import LOOK, Ended, Placed

ANSWERS = 10.0  # seconds in which an address accepts a connection
RETRIES = 2  # by Ray itself, of a task whose worker or machine was lost


def on_ray(address: str, tasks: Placed, beat: Callable[[], object]) -> Iterator[Ended]:
    """A `Pool` of Ray: `cpus` cores and `gpus` GPUs a task.

    Args:
        address: `ray` starts Ray on this machine; else the address of a cluster, `ray://HOST:10001`
            or HOST:PORT.

    Raises:
        SpecError: Ray is not installed, nothing answers at the address, or no machine of the
            cluster has what a task takes.
    """
    ray = _ray(address)
    try:
        _must_have(ray, tasks)
        run = ray.remote(max_retries=RETRIES)(_checked)
        running = {
            run.options(num_cpus=task.cpus, num_gpus=task.gpus).remote(
                task.call, __version__, Path.cwd(), task.at_home
            ): place
            for place, task in tasks
        }
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=LOOK)
            for ref in done:
                place = running.pop(ref)
                try:
                    yield place, ray.get(ref)
                except ray.exceptions.RaySystemError as error:
                    yield place, CloneCostError(f"Ray failed: {first_line(error)}")
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError,
                        ray.exceptions.OutOfMemoryError):  # fmt: skip
                    pass  # lost, more often than Ray tries again
            beat()
    except ConnectionError:
        pass  # the head is gone: the tasks run again, if it comes back
    finally:
        ray.shutdown()


def _ray(address: str) -> Any:
    # Ray asks for a token unless told; a cluster that has one sets these itself
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SpecError(
            "These workers need the package ray, which is not installed",
            Advice("run `pip install 'clonecost[ray]'`"),
        ) from error
    local = address == "ray"
    if not local:
        _must_answer(address)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {"env_vars": {"PYTHONPATH": paths}} if local else None
    try:
        ray.init("local" if local else address, log_to_driver=False, logging_level="error",
                 runtime_env=environment)  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _no_cluster(address, error) from error
    return ray


def _must_answer(address: str) -> None:
    """Refuse an address at which nothing listens; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWERS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> SpecError:
    return SpecError(
        f"No Ray cluster answers at {address} ({first_line(error)})",
        Advice("start one with `ray start --head`, or give `ray` for this machine alone"),
    )


def _must_have(ray: Any, tasks: Placed) -> None:
    """Refuse a task that fits on no machine of the cluster: Ray would wait without end."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for what, key, wanted in (
        ("cores", "CPU", max(task.cpus for _, task in tasks)),
        ("GPUs", "GPU", max(task.gpus for _, task in tasks)),
    ):
        most = max((node.get(key, 0) for node in nodes), default=0)
        if wanted > most:
            raise SpecError(
                f"No machine of the Ray cluster has the {what} that a run takes",
                SetKey(f"{key.lower()}s"), got=f"{most:g}", want=f"{wanted:g}",
            )  # fmt: skip


def _checked(
    call: Callable[[], CloneCostError | None], version: str, folder: Path, at_home: bool
) -> CloneCostError | None:
    """In a worker: the task in the caller's folder, if this machine has the caller's version.

    A task that is not `at_home` runs as well where there is no such folder.
    """
    if version != __version__:
        return SpecError(
            "A worker has another version of clonecost",
            Advice("install the same one on all machines"), got=__version__, want=version,
        )  # fmt: skip
    try:
        os.chdir(folder)
    except OSError:
        if not at_home:
            return call()
        return SpecError(
            f"A worker's machine has no folder {folder}",
            Advice("start the command in a folder on a disk that all machines share"),
        )
    return call()
