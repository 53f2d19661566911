"""One DFME iteration against a plain loop, and against the bare passes it cannot do without.

The plain loop (`plain_dfme`) is the published algorithm as it is usually written. The floor runs,
with the same networks, batches, memory layout and modes as the attack,

    G step:   G forward and backward on B, from a given gradient, and Adam's step;
              S (eval mode) and V on (m + 1) B images
    S steps:  G forward s times on B; V on s B images; S forward, backward and SGD's step s times

and nothing else: no oracle, ledger, random numbers, losses, schedule or differences.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.measuring import MILLI, Outcome, Row, in_turns, seconds
from benchmarks.plain_dfme import plain_loop
from benchmarks.stage import (
    CLASSES,
    CPU,
    LENET,
    RESNET,
    Scene,
    descend,
    make_kit,
    make_victim,
    open_oracle,
)
from clonecost.attacks.dfme import Dfme
from clonecost.types import Compiled, Victim

NAME = "dfme_iteration"
OVERHEAD, FASTER = 1.15, 2.5  # the goals


def bare_iteration(
    scene: Scene, attack: Dfme, victim: Victim, device: torch.device = CPU
) -> Callable[[], None]:
    """The floor, as a function to be called once an iteration; its networks are on `device`."""
    kit = make_kit(scene, horizon=attack.queries_per_iteration, device=device)
    student, size = kit.new_student(), attack.batch_size
    generator = kit.new_generator(attack.latent_dim, width=attack.generator_width)
    student_opt = torch.optim.SGD(
        student.parameters(), lr=1e-12, momentum=0.9, weight_decay=5e-4, fused=True
    )
    generator_opt = torch.optim.Adam(generator.parameters(), lr=1e-12, fused=True)
    latents = torch.randn(size, attack.latent_dim, device=device)
    up_image = torch.randn_like(generator(latents))
    up_logits = torch.randn(size, CLASSES, device=device)
    asked = torch.rand((attack.directions + 1) * size, *scene.shape, device=device)
    images = torch.rand(attack.student_steps * size, *scene.shape, device=device)

    def iteration() -> None:
        student.eval()
        for _ in range(attack.generator_steps):
            descend(generator, latents, up_image)
            generator_opt.step()
            with torch.no_grad():
                student(asked)
            victim(asked)
        student.train()
        with torch.no_grad():
            for _ in range(attack.student_steps):
                generator(latents)
        victim(images)
        for x in images.split(size):
            descend(student, x, up_logits)
            student_opt.step()

    return iteration


def measure(scene: Scene, *, keep: bool, turns: int, size: int) -> Row:
    """Ours / bare passes."""
    attack = Dfme(batch_size=size, generator_width=16)
    budget = (turns + 2) * attack.queries_per_iteration  # the attack must not end on the way
    victim = make_victim(scene)
    with open_oracle(victim, scene.shape, budget=budget, keep=keep) as oracle:
        clones = attack.run(oracle, make_kit(scene, horizon=budget))
        floor = bare_iteration(scene, attack, victim)
        pair = in_turns(lambda: next(clones), floor, turns=turns)
    case = f"{scene.name}{', inputs kept' if keep else ''}: ours / bare passes"
    return _row(case, attack, pair.ours, pair.floor, pair.ratio, f"ratio <= {OVERHEAD}")


def measure_plain(scene: Scene, *, turns: int, size: int, compile: Compiled = "no") -> Row:
    """Plain loop / ours, both training; ours with its oracle and ledger.

    What is compiled is compiled in the first turn, which is not timed: its seconds stand apart.
    """
    attack = Dfme(batch_size=size, generator_width=16)
    budget = (turns + 3) * attack.queries_per_iteration
    with open_oracle(make_victim(scene), scene.shape, budget=budget) as oracle:
        kit = replace(make_kit(scene, horizon=budget), compile=compile)
        clones = attack.run(oracle, kit)
        first = seconds(lambda: next(clones))
        pair = in_turns(lambda: next(clones), plain_loop(scene, attack), turns=turns)
    faster = statistics.median(b / a for a, b in zip(pair.ours, pair.floor, strict=True))
    case = f"{scene.name}: plain loop / ours"
    if compile != "no":
        case += f", compile = {compile} (first iteration {first:.0f} s)"
    return _row(case, attack, pair.ours, pair.floor, faster, f"ratio >= {FASTER}")


def _row(
    case: str, attack: Dfme, ours: list[float], other: list[float], ratio: float, goal: str
) -> Row:
    mine, theirs = statistics.median(ours), statistics.median(other)
    numbers = {
        "ours ms": mine / MILLI,
        "other ms": theirs / MILLI,
        "ours queries/s": attack.queries_per_iteration / mine,
        "other queries/s": attack.queries_per_iteration / theirs,
        "ratio": ratio,
    }
    met = ratio >= FASTER if goal.startswith("ratio >=") else ratio <= OVERHEAD
    return Row(case, numbers, goal, met)


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: seconds become milliseconds, and the numbers mean nothing."""
    title = "DFME: one iteration (B = 256, width 16) against a plain loop and its bare passes"
    if toy:
        return Outcome(
            NAME, title,
            [measure(LENET, keep=True, turns=1, size=4), measure_plain(LENET, turns=1, size=4)],
        )  # fmt: skip
    rows = [measure(LENET, keep=keep, turns=5 if quick else 20, size=256) for keep in (False, True)]
    rows.append(measure_plain(LENET, turns=5 if quick else 20, size=256))
    if not quick:
        rows.append(measure_plain(LENET, turns=20, size=256, compile="generator"))
        rows.append(measure(RESNET, keep=True, turns=5, size=256))
        rows.append(measure_plain(RESNET, turns=5, size=256))
    return Outcome(NAME, title, rows)
