"""Several jobs of a suite at once: in processes of this machine, on Ray, or on SLURM.

A job is a run folder with a budget, so that any process can go on with it: a job whose process was
killed, or whose machine was lost, starts again from its last checkpoint, and buys nothing twice but
the rows in flight.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial

from clonecost.errors import Advice, CloneCostError, RunError, RunWorkflow, SetKey, SpecError
from clonecost.suite.pool import Pool, in_processes
from clonecost.suite.run import Job, must_agree, run_job

ATTEMPTS = 3  # of a job, the later ones where a process or a machine was lost


def pool_of(workers: str) -> Pool:
    """The pool that a text names: a number of processes, `ray`, the address of a Ray cluster, or
    `slurm`.

    Raises:
        SpecError: it is none of them, or the extra that it needs is not installed.

    Example:
        >>> pool_of("2")  # doctest: +ELLIPSIS
        functools.partial(<function in_processes at ...>, 2)
    """
    if workers.isdecimal() and int(workers):
        return partial(in_processes, int(workers))
    if workers == "slurm":
        from clonecost.suite.slurm_workers import on_slurm

        return on_slurm
    if workers == "ray" or workers.startswith("ray://") or ":" in workers:
        from clonecost.suite.ray_workers import on_ray

        return partial(on_ray, workers)
    raise SpecError(
        "The workers are not known", Advice("give a number of processes, or one of the others"),
        got=workers, want="a number from 1 on, ray, ray://HOST:10001, HOST:PORT of a cluster, or "
        "slurm",
    )  # fmt: skip


def run_at_once(
    todo: Sequence[Job], pool: Pool, *, beat: Callable[[], object] = lambda: None,
    command: str = "", consent: Container[str] = (), where: str = "The suite",
) -> Iterator[tuple[Job, CloneCostError | None]]:  # fmt: skip
    """Run the unfinished jobs in a pool; yields each as it ends, and why it failed.

    Args:
        beat: called about once a second in this process, to show what goes on.
        consent, where: as for `run_suite`; the consent has to be picklable.

    Raises:
        ConsentError: a job would run or contact what the person has not agreed to; no job was run.

    Example:
        >>> list(run_at_once([], pool_of("2")))
        []
    """
    must_agree(todo, consent, where)
    left = list(range(len(todo)))
    work = partial(run_job, command=command, consent=consent)
    for _ in range(ATTEMPTS):
        if not left:
            return
        for place, error in pool([(place, todo[place]) for place in left], work, beat):
            left.remove(place)
            yield todo[place], error or _not_here(todo[place])
    for job in (todo[place] for place in left):
        yield job, _lost(job)


def _lost(job: Job) -> RunError:
    return RunError(
        f"The process of {job.title} was lost {ATTEMPTS} times, perhaps for want of memory.",
        RunWorkflow("resume", job.folder),
    )


def _not_here(job: Job) -> RunError | None:
    """The error for a run that another machine finished in a folder of its own."""
    if job.result() is not None:
        return None
    return RunError(
        f"{job.title} ended, and {job.folder} has no result of it: the machine that ran it does "
        "not write there.",
        SetKey("out"), Advice("name a folder on a disk that all machines share"),
    )  # fmt: skip
