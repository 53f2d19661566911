"""Where the jobs of a suite run at once; here in processes of this machine."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Protocol

from clonecost.errors import CloneCostError
from clonecost.suite.run import Job

LOOK = 1.0  # seconds between two calls of `beat`

Work = Callable[[Job], CloneCostError | None]
Ended = tuple[int, CloneCostError | None]  # the place of a job, and why it failed


class Pool(Protocol):
    """Where jobs are run: yields each that ends, and leaves out those whose process is lost.

    It calls `beat` about every `LOOK` seconds.
    """

    def __call__(
        self, jobs: Sequence[tuple[int, Job]], work: Work, beat: Callable[[], object], /
    ) -> Iterator[Ended]: ...


def in_processes(
    workers: int, jobs: Sequence[tuple[int, Job]], work: Work, beat: Callable[[], object]
) -> Iterator[Ended]:
    """A `Pool` of processes of this machine; when one is killed, all of them end."""
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
