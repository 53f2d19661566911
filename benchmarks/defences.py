"""What a defence adds to the victim: a batch of 256 rows, less the victim's own answer.

A LeNet on 1x32x32 with ten classes, untrained, whose answers are spread by a temperature so that
the defences have something to do. Networks beside the victim are half-LeNets, untrained. A defence
with a memory starts with an empty one in each turn. Processor time of this process.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.measuring import MILLI, Outcome, Row, percentile
from benchmarks.stage import LENET, make_victim
from clonecost.config import make_defence
from clonecost.defences import declaration_of
from clonecost.types import Victim

BATCH = 256
SHARP = 200.0  # an untrained LeNet's logits are small
DEFENCES = {
    "rounding": "rounding:decimals=1",
    "temperature": "temperature",
    "noise, fresh": "noise",
    "noise, consistent": "noise:consistent=true",
    "reverse_sigmoid": "reverse_sigmoid",
    "modelguard_w": "modelguard_w",
    "modelguard_s": "modelguard_s",
    "mad": "mad",
    "dawn": "dawn",
    "grad2, perceptron": "grad2",
    "grad2, half-LeNet": "grad2:surrogate=half-lenet",
    "grad2, half-LeNet, top class kept": "grad2:surrogate=half-lenet,keep_top=true",
    "adaptive_misinformation": "adaptive_misinformation:misinformation=half-lenet",
    "ensemble of 3": "ensemble:members=half-lenet+half-lenet",
}


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    turns = 2 if toy else 5 if quick else 21
    rows = torch.rand(BATCH, *LENET.shape, generator=torch.Generator().manual_seed(0))
    victim = make_victim(LENET)

    def spread(inputs: Tensor, /) -> Tensor:
        return torch.softmax(SHARP * victim(inputs).log(), 1)

    clean = spread(rows)
    alone = percentile([cpu(lambda: victim(rows)) for _ in range(turns + 1)][1:], 50)
    outcome = Outcome("defences", f"Defences: what a batch of {BATCH} costs beside the victim")
    for name, text in list(DEFENCES.items())[:: 5 if toy else 1]:
        spent = [cpu(partial(one, rows)) for one in _fresh(text, clean, turns + 1)][1:]
        added = percentile(spent, 50)
        outcome.rows.append(Row(name, {
            "added ms": added / MILLI, "victim ms": alone / MILLI, "ratio": added / alone,
            "µs a row": added / BATCH / 1e-6,
        }))  # fmt: skip
    return outcome


def _fresh(text: str, clean: Tensor, turns: int) -> list[Victim]:
    """The defence before a victim that answers at once; one with a memory anew for each turn."""
    part = make_defence(text)

    def victim(rows: Tensor, /) -> Tensor:
        return clean

    if declaration_of(part).stateful:
        return [part(victim) for _ in range(turns)]
    return [part(victim)] * turns


def cpu(work: Callable[[], object]) -> float:
    """Seconds of processor time, at least one tick of its clock."""
    began = time.process_time()
    with torch.no_grad():
        work()
    return max(time.process_time() - began, 1e-9)
