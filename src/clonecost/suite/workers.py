"""Several jobs of a suite at once, each in a process of its own on this machine.

A job is a run folder with a budget, so that any process can go on with it: a job whose process was
killed starts again from its last checkpoint, and buys nothing twice but the rows in flight.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context

from clonecost.errors import CloneCostError, RunError, RunWorkflow
from clonecost.suite.run import Job, must_agree, run_job

ATTEMPTS = 3  # pools of processes, of which the last ones take what earlier ones left undone
LOOK = 1.0  # seconds between two calls of `beat`


def run_at_once(
    todo: Sequence[Job], workers: int, *, beat: Callable[[], object] = lambda: None,
    command: str = "", consent: Container[str] = (), where: str = "The suite",
) -> Iterator[tuple[Job, CloneCostError | None]]:  # fmt: skip
    """Run the unfinished jobs, `workers` at a time; yields each as it ends, and why it failed.

    Args:
        beat: called about once a second in this process, to show what goes on.
        consent, where: as for `run_suite`; the consent has to be picklable.

    Raises:
        ConsentError: a job would run or contact what the person has not agreed to; no job was run.

    Example:
        >>> list(run_at_once([], workers=2))
        []
    """
    must_agree(todo, consent, where)
    left = list(range(len(todo)))
    for _ in range(ATTEMPTS):
        if not left:
            return
        for place, error in _pool([(place, todo[place]) for place in left], workers, beat,
                                  partial(run_job, command=command, consent=consent)):  # fmt: skip
            left.remove(place)
            yield todo[place], error
    for place in left:
        yield todo[place], _killed(todo[place])


def _pool(
    jobs: Sequence[tuple[int, Job]], workers: int, beat: Callable[[], object],
    work: Callable[[Job], CloneCostError | None],
) -> Iterator[tuple[int, CloneCostError | None]]:  # fmt: skip
    """Jobs that ended in one pool; when one of its processes is killed, all of them end."""
    with ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn")) as pool:
        running: dict[Future[CloneCostError | None], int] = {
            pool.submit(work, job): place for place, job in jobs
        }
        try:
            while running:
                for future in wait(running, LOOK, FIRST_COMPLETED).done:
                    place = running.pop(future)
                    if not isinstance(future.exception(), BrokenProcessPool):
                        yield place, future.result()
                beat()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _killed(job: Job) -> RunError:
    return RunError(
        f"The process of {job.title} was killed {ATTEMPTS} times, perhaps for want of memory.",
        RunWorkflow("resume", job.folder),
    )
