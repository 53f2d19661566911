"""Hours and memory of a planned audit, from the time that a row takes: arithmetic, and a clock."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from clonecost.attacks import Attack
from clonecost.audit.attack_traits import clone_epochs, drawn, search_passes
from clonecost.audit.defaults import Keep
from clonecost.audit.definition import kept_bytes
from clonecost.networks.pretrained import Start
from clonecost.report.number_format import duration
from clonecost.types import Shape

Clock = Callable[[], float]  # seconds

ENOUGH = 0.3  # seconds of a step that measures well
LEDGER_ROW = 150  # bytes of a paid row in the ledger, beside its answer and its kept input


@dataclass(frozen=True)
class Speed:
    """Seconds a row, each None where it was not measured.

    Attributes:
        alone: the victim's answer to one row by itself.
        victim: the victim's answer to a row of a batch.
        student: one training step of the student, a row.
        drawing: a procedural picture, changed as attacks change them.
    """

    alone: float | None = None
    victim: float | None = None
    student: float | None = None
    drawing: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What one run of one attack costs, beside queries and money.

    Attributes:
        victim: seconds of the victim; None: not known.
        training: seconds of training the clones; None: not known.
        at_least: the attack trains in a way that is not counted here; `training` is a lower bound.
        memory: bytes of proxy data, of the rows that the clone is trained on, and of those made at
            once.
        disk: bytes of the ledger and of the kept inputs.
        passes: rows that go through the training of the students.
        drawing: seconds of making pictures; None: not known.
    """

    attack: str
    victim: float | None
    training: float | None
    at_least: bool
    memory: int
    disk: int
    passes: int
    drawing: float | None = None

    @property
    def seconds(self) -> float:
        """The sum of everything that is known."""
        return sum(part or 0 for part in (self.victim, self.training, self.drawing))

    @property
    def words(self) -> str:
        """The estimate of one run, in words."""
        parts = [] if self.victim is None else [f"{duration(self.victim)} of the victim"]
        if self.training is not None:
            more = "at least " if self.at_least else ""
            parts.append(f"{more}{duration(self.training)} of training on this machine")
        if self.drawing:
            parts.append(f"{duration(self.drawing)} of drawing")
        hours = f"about {duration(self.seconds)} a run" if parts else "time not known"
        if parts and self.victim is None:
            parts.append("the victim's own time is not known")
        how = f" ({', '.join(parts)})" if parts else ""
        return f"{hours}{how}, {gib(self.memory)} of memory for rows, {gib(self.disk)} on disk"


def estimate(
    attack: Attack,
    name: str,
    *,
    budget: int,
    milestones: Sequence[int],
    evaluation: int,
    proxy: int,
    shape: Shape,
    num_classes: int,
    keep: Keep,
    speed: Speed,
    start: Start = "scratch",
    again: int = 0,
) -> Estimate:
    """The estimate of one run.

    Args:
        milestones: after which a clone is scored; one more is scored at the end.
        evaluation: rows of the evaluation, which the victim answers too.
        proxy: bytes of the proxy data in memory.
        keep: whether inputs are kept, as in the audit's options.
        start: of the student.
        again: how often a row is trained on after the attack has ended.

    Example:
        >>> estimate(Knockoff(epochs=10), "knockoff", budget=100, milestones=[50], evaluation=0,
        ...          proxy=0, shape=(1, 8, 8), num_classes=2, keep="auto",
        ...          speed=Speed(victim=0.1, student=0.01)).seconds
        25.0
    """
    values = prod(shape)
    stops = [stop for stop in milestones if 0 < stop < budget] + [budget]
    epochs = clone_epochs(attack, start)
    passes = (budget if epochs is None else epochs * sum(stops)) + again * budget
    passes += search_passes(attack, budget)
    made, at_once = drawn(attack, budget)
    trains = attack.declares.takes == "images"
    row = values if trains else 4 * values  # 8-bit pixels; values of a table are float32
    kept = kept_bytes(attack, shape, budget, keep)
    return Estimate(
        attack=name,
        victim=None if speed.victim is None else speed.victim * (budget + evaluation),
        training=speed.student * passes if trains and speed.student is not None else None,
        drawing=speed.drawing * made if speed.drawing is not None else None,
        at_least=epochs is None,
        # rows of the proxy, of the clone's training and of a round; answers are float32
        memory=proxy + row * (budget + at_once) + 4 * num_classes * budget,
        disk=(LEDGER_ROW + 4 * num_classes) * (budget + evaluation) + kept,
        passes=passes if trains else 0,
    )


def per_row(
    step: Callable[[int], object], *, most: int, clock: Clock = time.perf_counter
) -> tuple[float, int]:
    """Seconds a row of `step(n)`, and how many rows were taken for it in all.

    The first step warms up and never counts. Larger batches are tried until they take long enough
    together to be measured well; the quickest counts, since a busy machine only makes steps slower.

    Args:
        most: the most rows of a batch.

    Example:
        >>> ticks = iter([0.0, 4.0])
        >>> per_row(lambda n: None, most=2, clock=lambda: next(ticks))
        (2.0, 4)
    """
    size = min(2, most)
    step(size)
    rows, total, best = size, 0.0, float("inf")
    while True:
        began = clock()
        step(size)
        taken = clock() - began
        rows, total, best = rows + size, total + taken, min(best, taken / size)
        if size >= most or (total >= ENOUGH and size > 2):
            return best, rows
        size = min(most, 4 * size)


def gib(count: float) -> str:
    """Bytes in words.

    Example:
        >>> gib(3 << 30), gib(5 << 20)
        ('3.0 GiB', '5 MiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 29 else f"{max(1, round(count / 2**20))} MiB"
