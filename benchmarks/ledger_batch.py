"""What the door costs: an oracle's answer to 256 rows, less the victim's own time.

That is: check, digest of every row, two synced transactions (reserved before asking, settled
after), the kept inputs when they are kept (synced too), and the traffic that the report shows.
Inputs are fresh float32 images in the layout in which a generator makes them.
"""

import time

import torch
from torch import Tensor

from benchmarks.measuring import MILLI, Outcome, Row, percentile
from benchmarks.stage import LENET, make_victim, open_oracle
from clonecost.types import Shape, Victim

BATCH = 256
GOAL = 10.0  # ms, median


class Timed:
    """A victim that knows how long its last answer took."""

    def __init__(self, victim: Victim) -> None:
        self.victim, self.seconds = victim, 0.0

    def __call__(self, inputs: Tensor, /) -> Tensor:
        began = time.perf_counter()
        answers = self.victim(inputs)
        self.seconds = time.perf_counter() - began
        return answers


def overheads(shape: Shape, *, keep: bool, batches: int) -> list[float]:
    """Seconds of each batch that were not the victim's."""
    victim = Timed(make_victim(LENET.of(shape)))
    rng = torch.Generator().manual_seed(0)
    found: list[float] = []
    with open_oracle(victim, shape, budget=(batches + 2) * BATCH, keep=keep) as oracle:
        for _ in range(batches + 2):
            inputs = torch.rand(BATCH, *shape, generator=rng)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            began = time.perf_counter()
            oracle(inputs)
            found.append(time.perf_counter() - began - victim.seconds)
    return found[2:]


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("ledger_batch", f"Oracle and ledger: a batch of {BATCH}, less the victim")
    batches = 2 if toy else 50 if quick else 200
    shapes: list[Shape] = [(1, 32, 32), (3, 32, 32)]
    for shape in shapes[:1] if toy else shapes:
        for keep in (False, True):
            spent = [s / MILLI for s in overheads(shape, keep=keep, batches=batches)]
            numbers = {"p50 ms": percentile(spent, 50), "p99 ms": percentile(spent, 99)}
            case = f"{'x'.join(map(str, shape))} float32, inputs {'kept' if keep else 'not kept'}"
            met = numbers["p50 ms"] < GOAL
            outcome.rows.append(Row(case, numbers, f"p50 < {GOAL:.0f} ms", met))
    return outcome
