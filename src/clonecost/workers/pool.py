"""What a task is, where tasks run at once, and the processes of this machine as such a place."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

from clonecost.errors import CloneCostError

LOOK = 1.0  # seconds between two calls of `beat`


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run folder with a budget: whoever runs it again goes on from its last checkpoint.

    Attributes:
        title: in words, for messages.
        folder: of the run; its result is there in the end.
        call: runs it, or goes on with it, and returns why it failed, or None; picklable.
        at_home: it needs the caller's current folder, on whatever machine it runs.
        cpus, gpus: what it takes of a machine, parts of one included; for Ray and SLURM.

    Example:
        >>> Task(title="seed 0", folder=Path("runs/mine"), call=lambda: None).gpus
        0.0
    """

    title: str
    folder: Path
    call: Callable[[], CloneCostError | None]
    at_home: bool = True
    cpus: float = 1.0
    gpus: float = 0.0


Placed = Sequence[tuple[int, Task]]  # tasks with their places in a list of the caller
Ended = tuple[int, CloneCostError | None]  # the place of a task, and why it failed


class Pool(Protocol):
    """Where tasks run: yields each that ends, and leaves out those whose process is lost.

    It calls `beat` about every `LOOK` seconds.
    """

    def __call__(self, tasks: Placed, beat: Callable[[], object], /) -> Iterator[Ended]: ...


def in_processes(workers: int, tasks: Placed, beat: Callable[[], object]) -> Iterator[Ended]:
    """A `Pool` of processes of this machine; when one is killed, all of them end."""
    with ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn")) as pool:
        running: dict[Future[CloneCostError | None], int] = {
            pool.submit(task.call): place for place, task in tasks
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
