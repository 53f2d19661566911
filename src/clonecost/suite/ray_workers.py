"""Jobs of a suite on Ray (extra `ray`): on this machine, or on a cluster.

Ray starts a job again whose worker or machine was lost. The run folders have to lie on a disk that
all machines share, and all need the same version of clonecost.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clonecost.errors import Advice, CloneCostError, SpecError
from clonecost.safe_text import first_line
from clonecost.suite.pool import LOOK, Ended, Work
from clonecost.suite.run import Job
from clonecost.version import __version__


def on_ray(
    address: str, jobs: Sequence[tuple[int, Job]], work: Work, beat: Callable[[], object]
) -> Iterator[Ended]:
    """A `Pool` of Ray: one core a job.

    Args:
        address: `ray` starts Ray on this machine; else the address of a cluster, `ray://HOST:10001`
            or HOST:PORT.

    Raises:
        SpecError: Ray is not installed, or nothing answers at the address.
    """
    ray = _ray(address)
    try:
        task = ray.remote(num_cpus=1, max_retries=2)(_checked)
        running = {task.remote(work, job, __version__, Path.cwd()): place for place, job in jobs}
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
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {"env_vars": {"PYTHONPATH": paths}} if local else None
    try:
        ray.init("local" if local else address, log_to_driver=False, logging_level="error",
                 runtime_env=environment)  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SpecError(
            f"No Ray cluster answers at {address} ({first_line(error)})",
            Advice("start one with `ray start --head`, or give `ray` for this machine alone"),
        ) from error
    return ray


def _checked(work: Work, job: Job, version: str, folder: Path) -> CloneCostError | None:
    """In a worker: the job in the caller's folder, if this machine has the caller's version."""
    if version != __version__:
        return SpecError(
            "A worker has another version of clonecost",
            Advice("install the same one on all machines"), got=__version__, want=version,
        )  # fmt: skip
    try:
        os.chdir(folder)
    except OSError:
        return SpecError(
            f"A worker's machine has no folder {folder}",
            Advice("start the suite in a folder on a disk that all machines share"),
        )
    return work(job)
