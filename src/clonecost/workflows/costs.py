"""What a planned audit takes of this machine: how fast its parts are, and what follows from it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil, prod

import torch
from torch import Tensor, nn

from clonecost.audit.attack_traits import drawn
from clonecost.audit.defaults import kept_when
from clonecost.audit.threads import threads_for
from clonecost.config import (
    Spec,
    endpoint_url,
    make_attack,
    make_device,
    needs_proxy,
    proxy_name,
)
from clonecost.config.audits import milestones_of
from clonecost.data.catalogue import DATASETS
from clonecost.errors import SetKey, SpecError
from clonecost.networks.pretrained import Start
from clonecost.query_synthesis.image_mutation import views
from clonecost.query_synthesis.procedural_images import drawings
from clonecost.report.number_format import duration
from clonecost.students import Student
from clonecost.training.distill import Recipe, distill
from clonecost.training.recipes import passes_of, recipe_from
from clonecost.types import Shape, ThreatModel, as_bytes
from clonecost.victims import LoadedVictim
from clonecost.victims.endpoints import RATE, EndpointSettings, least_seconds
from clonecost.victims.zoo.catalogue import NAMES
from clonecost.workflows.estimate import Clock, Estimate, Speed, estimate, per_row

BATCH = 256  # rows of a call that is timed
STUDENT = 128  # rows of a training step
DRAWN = 128  # pictures drawn together
MEASURED = 1e8  # pixels through the student's training from which an audit may take minutes
LONG = 15 * 60  # seconds of a run from which what would shorten it is said


def must_be_quick_enough(
    spec: Spec, victim: LoadedVictim, threat: ThreatModel, test: int, *,
    student: Student | None, notice: Callable[[str], object], clock: Clock = time.perf_counter,
) -> None:  # fmt: skip
    """Say how long each run takes, and refuse what takes longer than the spec allows.

    A small audit is not measured. No row is sent.

    Args:
        test: rows of the test set.
        student: None: a table has none.
        notice: gets the estimates in words.

    Raises:
        SpecError: a run would take longer than `max_hours`.
    """
    found = estimates(spec, threat, test, known_speed(spec, Speed()), student)
    if student and _is_work(found, threat):
        speed = speed_of_student(spec, threat, student, clock)
        drawing = with_drawing(spec, threat, Speed(), clock)
        sure = estimates(spec, threat, test, replace(drawing, student=speed), student)
        # another program may have had the cores: nobody is refused for that
        if max(one.seconds for one in sure) > 3600 * spec.max_hours:
            speed = min(speed, speed_of_student(spec, threat, student, clock))
        found = estimates(
            spec, threat, test, known_speed(spec, replace(drawing, student=speed)), student
        )
        for one in found:
            notice(f"{one.attack}: {one.words}")
    for one in found:
        if one.seconds > 3600 * spec.max_hours:
            raise SpecError(
                f"A run of {one.attack} on {victim.name} takes {one.words}. That is longer than "
                f"{spec.max_hours:g} h, so nothing was sent",
                SetKey("student"), SetKey("budget"),
                SetKey("max_hours", float(ceil(one.seconds / 3600))),
            )  # fmt: skip


def _is_work(found: Sequence[Estimate], threat: ThreatModel) -> bool:
    """Whether training may take minutes."""
    return max(one.passes for one in found) * prod(threat.input_shape) > MEASURED


def known_speed(spec: Spec, speed: Speed) -> Speed:
    """The speed with that of an endpoint, which follows from its rate."""
    if not endpoint_url(spec):
        return speed
    settings, rate = spec.endpoint or EndpointSettings(), spec.rate or RATE
    return replace(speed, victim=least_seconds(1_000, settings, rate) / 1_000)


def estimates(
    spec: Spec, threat: ThreatModel, test: int, speed: Speed, student: Student | None
) -> list[Estimate]:
    """The estimate of each attack of a spec.

    Args:
        student: None: of a table, or not loaded; it counts as one from scratch.
    """
    card = DATASETS.get(proxy_name(spec))
    proxy = 0
    if needs_proxy(spec):  # rows of a larger shape than stored are made when they are asked for
        stored = prod(threat.input_shape)
        stored = min(stored, prod(card.shape)) if card else stored
        proxy = stored * (card.train if card else spec.budget)
    evaluation = evaluation_rows(spec, threat, test)
    start: Start = student.start if student else "scratch"
    again = passes_of(recipe_from(start, spec.retrain_epochs), start) if spec.retrain else 0
    return [
        estimate(
            make_attack(name, spec.set), name, budget=spec.budget, milestones=milestones_of(spec),
            keep=kept_when(spec.keep, spec.retrain), again=again,
            evaluation=evaluation, proxy=proxy, shape=threat.input_shape,
            num_classes=threat.num_classes, speed=speed,
            start=start,
        )
        for name in spec.attack
    ]  # fmt: skip


def evaluation_rows(spec: Spec, threat: ThreatModel, test: int) -> int:
    """Rows that the evaluation asks the undefended victim: `test` rows, a table's uniform ones."""
    return test + (spec.uniform if threat.features is not None else 0)


def speed_of_student(spec: Spec, threat: ThreatModel, student: Student, clock: Clock) -> float:
    """Seconds that one training step of the student takes, a row."""
    with torch.random.fork_rng(devices=[]):  # an audit's numbers stay what they are
        return student_speed(
            student.make, threat.input_shape, threat.num_classes, make_device(spec.device),
            clock=clock,
        )  # fmt: skip


def with_drawing(spec: Spec, threat: ThreatModel, speed: Speed, clock: Clock) -> Speed:
    """The speed with that of drawing, where an attack of the spec draws pictures."""
    draws = any(drawn(make_attack(name, spec.set), spec.budget)[0] for name in spec.attack)
    if not draws or len(threat.input_shape) != 3:
        return speed
    rng = torch.Generator().manual_seed(0)

    def step(size: int) -> None:
        made = drawings(size, threat.input_shape, rng)
        as_bytes(views(made, made.roll(1, 0), rng))

    return replace(speed, drawing=per_row(step, most=DRAWN, clock=clock)[0])


def threads_in_words(
    spec: Spec, threat: ThreatModel, victim: LoadedVictim | None, student: Student | None
) -> str:
    """The number of threads that a new run of the spec would compute with, and why.

    Args:
        student: None: of a table, or not loaded, as that would run somebody's code.
    """
    found = threads_for(
        None if spec.threads == "auto" else spec.threads, make_device(spec.device),
        student.make if student else None,
        victim.network if victim else None, threat.input_shape,
    )  # fmt: skip
    return f"{found.number} ({found.why})"


def student_speed(
    new: Callable[[], nn.Module], shape: Shape, num_classes: int, device: torch.device, *,
    clock: Clock = time.perf_counter,
) -> float:  # fmt: skip
    """Seconds that one training step of a student takes, a row."""
    student = new().to(device)
    rng = torch.Generator(device).manual_seed(0)

    def step(size: int) -> None:
        inputs = torch.zeros(size, *shape, dtype=torch.uint8, device=device)
        answers = torch.full((size, num_classes), 1 / num_classes, device=device)
        recipe = Recipe(epochs=1, batch_size=size, validation=0.0)
        distill(student, inputs, answers, recipe, rng=rng)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    seconds, _ = per_row(step, most=STUDENT, clock=clock)
    return seconds


def speed_of_victim(victim: LoadedVictim, rows: Tensor, clock: Clock) -> tuple[float, int]:
    """Seconds of an answer to a row of a batch, and how many rows were asked for it."""

    def step(size: int) -> None:
        victim.answer(rows[torch.arange(size) % len(rows)])

    with torch.random.fork_rng(devices=[]):
        return per_row(step, most=BATCH, clock=clock)


def in_words(found: Sequence[Estimate], runs: int) -> Iterator[tuple[str, str]]:
    """(name, fact) for each estimate of one run, and for all `runs` together."""
    for one in found:
        yield one.attack, one.words
        if one.seconds > LONG:
            yield "shorter by", "a smaller student, fewer epochs, or a smaller budget"
    if runs > 1 and found:
        total = sum(one.seconds for one in found) * runs / len(found)
        partly = any(one.victim is None or one.at_least for one in found)
        takes = f"{'at least' if partly else 'about'} {duration(total)}"
        yield "all runs", f"{runs} runs, {takes if total else 'time not known'}"


def is_free(victim: LoadedVictim, spec: Spec) -> bool:
    """Whether rows cost nothing: a model of this process, and no function of the owner's."""
    if spec.victim in NAMES:
        return True
    return not endpoint_url(spec) and (victim.free_rows or victim.table is not None)
