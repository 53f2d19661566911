"""What the door costs: an oracle's answer to 256 rows, less the victim's own time.

That is: check, digest of every row, two synced transactions (reserved before asking, settled
after), the kept inputs when they are kept (synced too), and the traffic that the report shows.
Charged ahead, as on a GPU, one transaction serves 16 batches, which only the mean shows.
Inputs are fresh float32 images in the layout in which a generator makes them.

Beside it stand its processor time, and what the same number of bytes and syncs takes in a plain
file of the same folder. On a machine whose cores are all taken the wall says little: who waits for
the disk must then wait for a core.
"""

import os
import statistics
import time
from dataclasses import dataclass
from functools import partial
from io import FileIO
from math import prod
from tempfile import TemporaryFile

import torch
from torch import Tensor

from benchmarks.measuring import MILLI, Outcome, Row, percentile, seconds
from benchmarks.stage import CLASSES, LENET, make_victim, open_oracle
from clonecost.types import Shape, Victim

BATCH = 256
GOAL = 10.0  # ms, median


class Timed:
    """A victim that knows how long its last answer took."""

    def __init__(self, victim: Victim) -> None:
        self.victim, self.wall, self.cpu = victim, 0.0, 0.0

    def __call__(self, inputs: Tensor, /) -> Tensor:
        wall, cpu = time.perf_counter(), time.process_time()
        answers = self.victim(inputs)
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu
        return answers


@dataclass(frozen=True)
class Spent:
    """Seconds of each batch."""

    wall: list[float]  # that were not the victim's
    cpu: list[float]  # the same in processor time
    syncs: list[float]  # that the same syncs take without anything else


def measure(shape: Shape, *, keep: bool, ahead: bool, batches: int) -> Spent:
    victim = Timed(make_victim(LENET.of(shape)))
    rng = torch.Generator().manual_seed(0)
    digests, answers = bytes(16 * BATCH), bytes(4 * CLASSES * BATCH)
    images = [bytes(4 * prod(shape) * BATCH)] if keep else []
    spent = Spent([], [], [])
    budget = (batches + 2) * BATCH * (100 if ahead else 1)  # several batches are a hundredth of it
    with (
        open_oracle(victim, shape, budget=budget, keep=keep, ahead=ahead) as oracle,
        TemporaryFile(buffering=0) as file,
    ):
        for _ in range(batches + 2):
            inputs = torch.rand(BATCH, *shape, generator=rng)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            cpu = time.process_time()
            spent.wall.append(seconds(partial(oracle, inputs)) - victim.wall)
            spent.cpu.append(time.process_time() - cpu - victim.cpu)
            spent.syncs.append(sum(_synced(file, what) for what in (digests, *images, answers)))
    return Spent(spent.wall[2:], spent.cpu[2:], spent.syncs[2:])  # the first ones warm up


def _synced(file: FileIO, what: bytes) -> float:
    def write() -> None:
        file.write(what)
        os.fsync(file.fileno())

    return seconds(write)


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("ledger_batch", f"Oracle and ledger: a batch of {BATCH}, less the victim")
    batches = 2 if toy else 50 if quick else 200
    shapes: list[Shape] = [(1, 32, 32), (3, 32, 32)]
    for shape in shapes[:1] if toy else shapes:
        for keep, ahead in ((False, False), (True, False), (False, True), (True, True)):
            spent = measure(shape, keep=keep, ahead=ahead, batches=batches)
            numbers = {
                "mean ms": statistics.mean(spent.wall) / MILLI,
                "CPU mean ms": statistics.mean(spent.cpu) / MILLI,
                "p50 ms": percentile(spent.wall, 50) / MILLI,
                "p99 ms": percentile(spent.wall, 99) / MILLI,
                "CPU p50 ms": percentile(spent.cpu, 50) / MILLI,
                "bare syncs p50 ms": percentile(spent.syncs, 50) / MILLI,
            }
            case = f"{'x'.join(map(str, shape))} float32, inputs {'kept' if keep else 'not kept'}"
            case += ", charged ahead" if ahead else ""
            met = numbers["p50 ms"] < GOAL
            outcome.rows.append(Row(case, numbers, f"p50 < {GOAL:.0f} ms", met))
    return outcome
