"""A DFME iteration of the paper's size on a GPU: against the plain loop and its bare passes.

As `dfme_iteration`, with the oracle that charges ahead, on the same card and in turns. The share of
the device's time in passes is the bare passes' time by ours. Only where CUDA is there.
"""

import statistics
from collections.abc import Callable

import torch

from benchmarks.dfme_iteration import bare_iteration
from benchmarks.measuring import MILLI, Outcome, Row, in_turns
from benchmarks.plain_dfme import plain_loop
from benchmarks.stage import CPU, LENET, PAPER, Scene, make_kit, make_victim, open_oracle
from clonecost.attacks.dfme import Dfme
from clonecost.oracle.ahead import BATCHES

NAME = "gpu_iteration"
IN_PASSES, FASTER = 0.9, 5.0  # the goals


def finished(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """`work`, until the device has done it."""

    def done() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return done


def plain_on(scene: Scene, attack: Dfme, device: torch.device) -> Callable[[], None]:
    """The plain loop; all that it makes is made on the device."""
    with device:
        iteration = plain_loop(scene, attack)

    def there() -> None:
        with device:
            iteration()

    return there


def measure(scene: Scene, attack: Dfme, *, turns: int, device: torch.device) -> list[Row]:
    budget = (2 * turns + 4) * attack.queries_per_iteration  # the attack must not end on the way
    victim = make_victim(scene, device)
    allowed = 100 * BATCHES * budget  # so that a kill may lose 16 batches, as in a run of millions
    with open_oracle(victim, scene.shape, budget=allowed, ahead=True) as oracle:
        clones = attack.run(oracle, make_kit(scene, horizon=budget, device=device))
        ours = finished(lambda: next(clones), device)
        floor = finished(bare_iteration(scene, attack, victim, device), device)
        bare = in_turns(ours, floor, turns=turns)
        plain = in_turns(ours, finished(plain_on(scene, attack, device), device), turns=turns)
    share = 1 / bare.ratio
    faster = statistics.median(b / a for a, b in zip(plain.ours, plain.floor, strict=True))
    mine = statistics.median([*bare.ours, *plain.ours])
    numbers = {"ours ms": mine / MILLI, "queries/s": attack.queries_per_iteration / mine}
    return [
        Row(
            f"{scene.name}: share of ours in passes",
            {**numbers, "other ms": statistics.median(bare.floor) / MILLI, "ratio": share},
            f"ratio >= {IN_PASSES}", share >= IN_PASSES,
        ),
        Row(
            f"{scene.name}: plain loop / ours",
            {**numbers, "other ms": statistics.median(plain.floor) / MILLI, "ratio": faster},
            f"ratio >= {FASTER:.0f}", faster >= FASTER,
        ),
    ]  # fmt: skip


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test, on the processor: the numbers mean nothing."""
    if toy:
        attack = Dfme(batch_size=4, generator_width=16)
        return Outcome(NAME, "toy", measure(LENET, attack, turns=1, device=CPU))
    device = torch.device("cuda")
    title = f"DFME: one iteration as published (B = 256) on {torch.cuda.get_device_name(device)}"
    rows = measure(PAPER, Dfme(), turns=5 if quick else 20, device=device)
    lenet = measure(LENET, Dfme(), turns=5 if quick else 20, device=device)
    return Outcome(NAME, title, [*rows, *lenet])
