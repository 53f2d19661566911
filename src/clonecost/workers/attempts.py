"""Tasks at once in a pool, again where a process or a machine was lost."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from clonecost.errors import Advice, CloneCostError, RunError, RunWorkflow, SpecError
from clonecost.workers.pool import Ended, Pool, Task, in_processes

ATTEMPTS = 3  # of a task, the later ones where a process or a machine was lost


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
        from clonecost.workers.slurm_pool import on_slurm

        return on_slurm
    if workers == "ray" or workers.startswith("ray://") or ":" in workers:
        from clonecost.workers.ray_pool import on_ray

        return partial(on_ray, workers)
    raise SpecError(
        "The workers are not known", Advice("give a number of processes, or one of the others"),
        got=workers, want="a number from 1 on, ray, ray://HOST:10001, HOST:PORT of a cluster, or "
        "slurm",
    )  # fmt: skip


def at_once(
    tasks: Sequence[Task], pool: Pool, *, beat: Callable[[], object] = lambda: None
) -> Iterator[Ended]:
    """Run the tasks in a pool; yields the place of each as it ends, and why it failed.

    A task whose process or machine is lost runs again, `ATTEMPTS` times in all.

    Args:
        beat: called about once a second in this process, to show what goes on.

    Example:
        >>> list(at_once([], pool_of("2")))
        []
    """
    left = list(range(len(tasks)))
    for _ in range(ATTEMPTS):
        if not left:
            return
        for place, error in pool([(place, tasks[place]) for place in left], beat):
            left.remove(place)
            yield place, error
    yield from ((place, _lost(tasks[place])) for place in left)


def _lost(task: Task) -> CloneCostError:
    return RunError(
        f"The process of {task.title} was lost {ATTEMPTS} times, perhaps for want of memory.",
        RunWorkflow("resume", task.folder),
    )
