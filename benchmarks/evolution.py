"""Evolved images: our search against a plain loop of the same algorithm, and against bare passes.

The plain loop does one search after the other, as the paper prints it: a generation is one batch
of all K members, the elite is decoded and asked about again, sums and ranks are NumPy's. Generator,
oracle, constants and targets are the same, and so is what it would find: only random numbers
differ. Both are timed on whole searches of all their generations (threshold 0), so that each
side's price of one search is the mean of many. What can be gained: a factor 300 / 210 = 1.43 by the
cache, and the fixed price of a batch of 30, which is much on a GPU and little on a CPU, where the
generator's own arithmetic is nearly all there is.

The floor of our search is one pass of the generator and one of the victim over the same rows in
batches of the same sizes: no oracle, ledger, random numbers, ranks or rounding.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from benchmarks.measuring import MILLI, Outcome, Row, in_turns
from benchmarks.stage import CLASSES, LENET, Scene, make_victim, open_oracle
from clonecost.generators import GENERATORS, TrainedGenerator
from clonecost.oracle import Oracle
from clonecost.query_synthesis.evolution import Algorithm, Search, one_class
from clonecost.types import as_bytes, as_pixels

NAME = "evolution"
FASTER, OVERHEAD = 20.0, 1.15  # the goals
CPU = torch.device("cpu")


def make_generator(scene: Scene, name: str, *, low_precision: bool) -> TrainedGenerator:
    """Untrained, laid out as a loaded one: the same arithmetic at the same speed."""
    card = GENERATORS[name]
    torch.manual_seed(0)
    network = card.family.build(card.recipe, scene.shape, 0).eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainedGenerator(
        name=name, proxy="", image_shape=scene.shape, latent_dim=card.family.latent_dim, weights="",
        network=network, device=CPU, to_images=card.family.decode, draw=card.family.latents,
        low_precision=low_precision,
    )  # fmt: skip


def searching(
    algorithm: Algorithm, generator: TrainedGenerator, oracle: Oracle, slots: int
) -> Callable[[], None]:
    """Ours, as the attack does it: each call takes `slots` searches from their start to their end.

    With the threshold 0 all slots end together.
    """
    search = Search(
        algorithm, one_class(CLASSES), slots=slots, latent_dim=generator.latent_dim, seed=0,
        device=CPU,
    )  # fmt: skip

    def generations() -> None:
        for _ in range(algorithm.max_generations):
            images = as_bytes(generator.decode(search.ask().latents))
            search.tell(images, oracle(as_pixels(images)))

    return generations


def plain_loop(
    algorithm: Algorithm, generator: TrainedGenerator, oracle: Oracle, searches: int
) -> Callable[[], None]:
    """The same algorithm for one target at a time; each call does `searches` of them."""
    rng = np.random.default_rng(0)
    size, elite = algorithm.population, algorithm.elite

    def one(wanted: int) -> None:
        target = np.eye(CLASSES)[wanted]
        members = rng.uniform(-algorithm.bound, algorithm.bound, (size, generator.latent_dim))
        for generation in range(algorithm.max_generations):
            if generation:
                parents = members[rng.integers(elite, size=size - elite)]
                children = parents + algorithm.mutation * rng.standard_normal(parents.shape)
                members = np.concatenate([members[:elite], children])
            images = as_bytes(generator.decode(torch.from_numpy(members).float()))
            answers = oracle(as_pixels(images)).numpy()
            members = members[((answers - target) ** 2).sum(1).argsort(kind="stable")]

    def loop() -> None:
        for k in range(searches):
            one(k % CLASSES)

    return loop


def bare_passes(
    algorithm: Algorithm, generator: TrainedGenerator, scene: Scene, slots: int
) -> Callable[[], None]:
    victim = make_victim(scene)
    sizes = [algorithm.population, *[algorithm.population - algorithm.elite]
             * (algorithm.max_generations - 1)]  # fmt: skip
    latents = [torch.randn(slots * size, generator.latent_dim) for size in sizes]

    def passes() -> None:
        for z in latents:
            victim(generator.decode(z))

    return passes


def measure(
    scene: Scene, generator: TrainedGenerator, algorithm: Algorithm, *, slots: int, turns: int
) -> list[Row]:
    per_search = algorithm.most_rows()
    plain = max(1, slots // 16)  # searches a turn: the plain ones are slower
    budget = (turns + 1) * (3 * slots * per_search + 2 * plain * per_search)
    precision = "bfloat16" if generator.low_precision else "float32"
    case = f"{scene.name}, {generator.name} in {precision}, {slots} slots"
    with open_oracle(make_victim(scene), scene.shape, budget=2 * budget) as oracle:
        ours = searching(algorithm, generator, oracle, slots)
        with torch.no_grad():
            loop = plain_loop(algorithm, generator, oracle, plain)
            against_loop = in_turns(ours, loop, turns=turns)
            floor = bare_passes(algorithm, generator, scene, slots)
            against_floor = in_turns(ours, floor, turns=turns)
    for_one = [[t / count for t in times] for times, count in
               ((against_loop.ours, slots), (against_loop.floor, plain))]  # fmt: skip
    mine, theirs = (float(np.median(times)) for times in for_one)
    faster = float(np.median([b / a for a, b in zip(*for_one, strict=True)]))
    useful = {
        "ours ms": mine / MILLI,
        "other ms": theirs / MILLI,
        "ours rows/s": per_search / mine,
        "ratio": faster,
    }
    ratio = against_floor.ratio
    bare = {
        "ours ms": float(np.median(against_floor.ours)) / slots / MILLI,
        "other ms": float(np.median(against_floor.floor)) / slots / MILLI,
        "ours rows/s": slots * per_search / float(np.median(against_floor.ours)),
        "ratio": ratio,
    }
    return [
        Row(f"{case}: plain loop / ours", useful, f"ratio >= {FASTER:.0f}", faster >= FASTER),
        Row(f"{case}: ours / bare passes", bare, f"ratio <= {OVERHEAD}", ratio <= OVERHEAD),
    ]


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: float32 only, which every processor computes quickly."""
    title = "Algorithm 1: one evolved image, of ten generations (milliseconds a search)"
    algorithm = Algorithm(threshold=0.0)
    turns, slots = (1, 8) if quick else (3, 64)
    if toy:
        algorithm = replace(algorithm, population=3, elite=1, max_generations=2)
        slots = 2
    rows = []
    for low_precision in (False,) if toy else (False, True):
        generator = make_generator(LENET, "sngan-small", low_precision=low_precision)
        rows += measure(LENET, generator, algorithm, slots=slots, turns=turns)
    return Outcome(NAME, title, rows)
