"""What a task is, where tasks run at once, and the processes of this machine as such a place."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized as Shared
from pathlib import Path
from typing import Protocol

from clonecost.errors import CloneCostError

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOOK = 1.0  # seconds between two calls of `beat`


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run folder with a budget: whoever runs it again goes on from its last checkpoint.

    Attributes:
        title: in words, for messages.
        folder: of the run; its result is there in the end.
        call: runs it, or goes on with it, and returns why it failed, or None; picklable.
        at_home: it needs the caller's current folder, on whatever machine it runs.
        any_gpu: it takes whatever GPU is first; else it names one by its number.
        cpus, gpus: what it takes of a machine, parts of one included; for Ray and SLURM.

    Example:
        >>> Task(title="seed 0", folder=Path("runs/mine"), call=lambda: None).gpus
        0.0
    """

    title: str
    folder: Path
    call: Callable[[], CloneCostError | None]
    at_home: bool = True
    any_gpu: bool = True
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
    """A `Pool` of processes of this machine; when one is killed, all of them end.

    Each process sees one GPU, the next one of those of this process, if there are any and no task
    names one by its number.
    """
    spawn, at_most = get_context("spawn"), min(workers, len(tasks))
    gpus = visible_gpus() if all(task.any_gpu for _, task in tasks) else []
    numbers = spawn.Value("i", 0)
    with ProcessPoolExecutor(
        at_most, spawn, initializer=_take_gpu, initargs=(numbers, gpus)
    ) as pool:
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


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch  # counts them without claiming one

    return [str(number) for number in range(torch.cuda.device_count())]


def _take_gpu(numbers: "Shared[int]", gpus: Sequence[str]) -> None:
    """In a new process, before anything uses CUDA: the GPU of its number."""
    if gpus:
        with numbers.get_lock():
            number = numbers.value
            numbers.value += 1
        os.environ[VISIBLE] = gpus[number % len(gpus)]
