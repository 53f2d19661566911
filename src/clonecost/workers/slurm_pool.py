"""Tasks on SLURM, by submitit (extra `slurm`): each is a job of the queue.

What the queue needs to know (partition, time, memory) is read from the variables SBATCH_* that
sbatch itself reads. The run folders have to lie on a disk that all machines share.
"""

import time
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

from clonecost.errors import Advice, SpecError
from clonecost.workers.pool import LOOK, Ended, Placed

LOGS = Path("slurm-logs")


def on_slurm(
    tasks: Placed, beat: Callable[[], object], *, cluster: str = "slurm"
) -> Iterator[Ended]:
    """A `Pool` of SLURM; whole cores and GPUs a task, and the logs are in `slurm-logs`.

    Args:
        cluster: of submitit; `local` runs processes of this machine.

    Raises:
        SpecError: submitit is not installed, or there is no `sbatch`.
    """
    running = _submitted(tasks, cluster)
    try:
        while running:
            for place, job in list(running.items()):
                if not job.done():
                    continue
                del running[place]
                if job.exception() is None:  # else it was lost: cancelled, or its machine died
                    yield place, job.result()
            beat()
            time.sleep(LOOK)
    finally:
        for job in running.values():
            job.cancel()


def _submitted(tasks: Placed, cluster: str) -> dict[int, Any]:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise SpecError(
            "These workers need the package submitit, which is not installed",
            Advice("run `pip install 'clonecost[slurm]'`"),
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=LOGS, cluster=cluster)
        jobs = {}
        for place, task in tasks:
            executor.update_parameters(
                name="clonecost", cpus_per_task=ceil(task.cpus),
                **({"gpus_per_node": ceil(task.gpus)} if task.gpus else {}),
            )  # fmt: skip
            jobs[place] = executor.submit(task.call)
        return jobs
    except (RuntimeError, OSError) as error:
        raise SpecError(
            f"Jobs cannot be handed to SLURM ({error})",
            Advice("run the command on a machine that has `sbatch`"),
        ) from error
