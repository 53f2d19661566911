"""Look at a victim before an audit: what is understood of it, and what the audit would cost.

Nothing is written. A model of this process is asked a few test rows, which cost nothing. An
endpoint, and a function that may send its rows to anywhere, get no row unless the owner says how
many.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from clonecost.audit import check as check_audit
from clonecost.config import (
    EVERYTHING,
    Spec,
    audits,
    bring_student,
    load_table_parts,
    needs_proxy,
    of_table,
    takes_of,
)
from clonecost.config.build import Parts, load_attacked, load_test, numbered_for
from clonecost.config.panel_entries import must_fit, of_one_entry
from clonecost.data.text_rows import decode
from clonecost.errors import CloneCostError, RunWorkflow
from clonecost.types import LabelledInputs, Progress, ThreatModel, no_progress
from clonecost.victims import LoadedVictim
from clonecost.victims.steadiness import steadiness
from clonecost.workflows.costs import (
    BATCH,
    estimates,
    in_words,
    is_free,
    known_speed,
    speed_of_student,
    speed_of_victim,
    threads_in_words,
    with_drawing,
)
from clonecost.workflows.estimate import Clock, Estimate, Speed, gib
from clonecost.workflows.plan import survey

SHOWN = 120  # characters of a text that is shown
Words = Callable[[CloneCostError], str]


@dataclass
class Findings:
    """What was found out about a victim and the audit that is planned for it.

    Attributes:
        facts: (name, fact) in the order in which they were found out.
        problems: each a sentence about what would stop the audit.
        sample: the first test row's answer: (class, probability), the likeliest first.
        rows_sent: test rows that the victim was asked, outside of any audit's account.
        peak_memory: bytes that this process took at most; None: not known here.
        estimates: of one run of each attack.
        runs: runs that are planned.
    """

    victim: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sample: list[tuple[str, float]] = field(default_factory=list)
    rows_sent: int = 0
    peak_memory: int | None = None
    speed: Speed = field(default_factory=Speed)
    estimates: list[Estimate] = field(default_factory=list)
    runs: int = 1

    def costs(self) -> Iterator[tuple[str, str]]:
        """(name, fact) about time and memory."""
        if self.rows_sent:
            yield "asked", f"{self.rows_sent:,} rows, outside of any audit's account"
        if self.speed.alone is not None:
            many = self.speed.victim
            batch = "" if many is None else f", {1e3 * many:.3g} ms a row of several"
            yield "time", f"{1e3 * self.speed.alone:.3g} ms for one row{batch}"
        if self.peak_memory is not None:
            yield "memory", f"at most {gib(self.peak_memory)} in this process so far"
        yield from in_words(self.estimates, self.runs)

    def as_json(self) -> str:
        """Everything, as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


def check_victim(
    spec: Spec, *, rows: int | None = None, words: Words = str, progress: Progress = no_progress,
    clock: Clock = time.perf_counter,
) -> Findings:  # fmt: skip
    """Load the victim and its test rows, and say what is understood and what an audit would cost.

    Args:
        spec: written by the person at the keyboard, who agrees to its victim.
        rows: test rows that may be sent to an endpoint or a function; None: none to these.
        words: how an error is worded; by default for Python.
        clock: seconds.

    Raises:
        CloneCostError: the spec itself cannot be run.

    Example:
        >>> check_victim(make_spec({"victim": "digits-lenet"})).problems
        []
    """
    found = Findings(spec.victim, runs=len(spec.attack) * len(spec.seed))
    try:
        try:
            early, test = _test_rows(spec, progress)
        except CloneCostError as error:  # beside it, the other parts that are missing
            found.problems += survey(spec, words=words).missing
            raise error
        found.problems += survey(spec, words=words, test=test).missing
        victim, threat = load_attacked(spec, test, progress, consent=EVERYTHING, victim=early)
        test = numbered_for(spec, test, victim)
        found.facts += _test_facts(test)
        asked = rows if rows is not None else (BATCH if is_free(victim, spec) else 0)
        with torch.random.fork_rng(devices=[]):
            _ask(found, victim, test, min(asked, len(test)), clock, exact=rows is not None)
        found.facts += _victim_facts(victim, threat)
        if victim.free_rows or victim.trains:
            _steadiness(found, victim, threat)
    except CloneCostError as error:
        if words(error) not in found.problems:  # the plan has met it, too
            found.problems.append(words(error))
        return found
    student = None
    if takes_of(spec) == "images":
        try:
            student = bring_student(spec, threat, consent=EVERYTHING)
        except CloneCostError as error:
            found.problems.append(words(error))
            return found
        found.speed = replace(found.speed, student=speed_of_student(spec, threat, student, clock))
    found.problems += _contradictions(spec, Parts(victim, threat, test, None, {}, student), words)
    found.facts.append(("threads", threads_in_words(spec, threat, victim, student)))
    if found.speed.victim is None:
        found.speed = known_speed(spec, found.speed)
    found.speed = with_drawing(spec, threat, found.speed, clock)
    found.estimates = estimates(of_one_entry(spec), threat, len(test), found.speed, student)
    found.peak_memory = peak_memory()
    return found


def peak_memory() -> int | None:
    """Bytes that this process took at most; None where the system does not say."""
    try:
        import resource
        import sys
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _test_rows(spec: Spec, progress: Progress) -> tuple[LoadedVictim | None, LabelledInputs]:
    """The test rows, read once, with the victim whose columns they are read by, if it has any."""
    if of_table(spec):
        return load_table_parts(spec, progress, consent=EVERYTHING)
    return None, load_test(spec, progress)


def _ask(
    found: Findings, victim: LoadedVictim, test: LabelledInputs, rows: int, clock: Clock, *,
    exact: bool,
) -> None:  # fmt: skip
    """Ask the victim some test rows: the first alone, then more; says what it answers.

    Args:
        exact: whether no row is asked twice.
    """
    if rows < 1:
        found.facts.append(("answer", "not asked: rows may cost money or leave this machine"))
        return
    inputs = test.rows(slice(0, rows))
    answers, alone = _timed(victim, inputs[:1], clock)
    if not exact:  # the first call of a model warms it up, and says nothing of its speed
        answers, alone = _timed(victim, inputs[:1], clock)
    names = victim.classes or test.classes
    likely = answers[0].topk(min(3, answers.shape[1]))
    found.sample = [
        (names[k] if k < len(names) else str(k), float(p))
        for p, k in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)
    ]
    found.facts.append(("first row", _row_words(test, inputs[0])))
    shown = ", ".join(f"{name} {p:.3g}" for name, p in found.sample)
    found.facts.append(("its answer", shown))
    found.rows_sent = 1 if exact else 2
    found.speed = Speed(alone=alone)
    if rows == 1:
        return

    if not exact:
        seconds, sent = speed_of_victim(victim, inputs, clock)
        again = victim.answer(inputs)
        found.rows_sent += sent + rows
    else:  # exactly as many rows as were allowed
        again, taken = _timed(victim, inputs[1:], clock)
        again, seconds = torch.cat([answers, again]), taken / (rows - 1)
        found.rows_sent += rows - 1
    found.speed = replace(found.speed, victim=seconds)
    if test.labelled:
        right = float((again.argmax(1).cpu() == test.labels[:rows]).double().mean())
        found.facts.append(("right", f"{100 * right:.0f} % of the first {rows} test rows"))


def _timed(victim: LoadedVictim, inputs: Tensor, clock: Clock) -> tuple[Tensor, float]:
    began = clock()
    answers = victim.answer(inputs)
    return answers, clock() - began


def _steadiness(found: Findings, victim: LoadedVictim, threat: ThreatModel) -> None:
    """Says whether rows have the same answers twice, alone and in another order, as an audit finds.

    Raises:
        VictimError: answers depend on the batch.
    """
    change = steadiness(victim, threat.input_shape, threat.features)
    if change.random:
        found.problems.append(
            f"A probability changes by up to {change.random:.2g} when the same rows are asked "
            "again: the model answers at random (dropout in training mode?)"
        )
    elif change.batch:
        found.problems.append(
            f"A probability changes by up to {change.batch:.2g} when a row is asked alone or in "
            "another order: the answer depends on the other rows"
        )
    else:
        found.facts.append(("steady", "the same answers alone, in a batch and in another order"))


def _test_facts(test: LabelledInputs) -> Iterator[tuple[str, str]]:
    labels = "without labels"
    if test.labelled:
        labels = f"labels {int(test.labels.min())} to {int(test.labels.max())}"
    yield "test rows", f"{len(test):,} of {test.name or 'the test set'}, {labels}"


def _row_words(test: LabelledInputs, row: Tensor) -> str:
    if test.text:
        return repr(decode(row[None])[0][:SHOWN])
    if test.features is None:
        size = " x ".join(map(str, row.shape))
        return f"{size}, float32, values {float(row.min()):.3g} to {float(row.max()):.3g}"
    cells = [
        f"{feature.name}={feature.categories[int(value)] if feature.categories else f'{value:.4g}'}"
        for feature, value in zip(test.features[:6], row.tolist(), strict=False)
    ]
    more = len(test.features) - len(cells)
    return ", ".join(cells) + (f" and {more} more columns" if more else "")


def _victim_facts(victim: LoadedVictim, threat: ThreatModel) -> Iterator[tuple[str, str]]:
    shape = " x ".join(map(str, threat.input_shape))
    kind = {
        "images": "channels x height x width", "table": "columns of a table",
        "text": "bytes of the longest text",
    }[threat.takes]  # fmt: skip
    yield "input", f"{shape} ({kind})"
    if victim.format:
        yield "model", victim.format
    names = ", ".join(victim.classes[:10]) + (", ..." if len(victim.classes) > 10 else "")
    yield "classes", f"{threat.num_classes}" + (f": {names}" if names else "")


def _contradictions(spec: Spec, parts: Parts, words: Words) -> Iterator[str]:
    """What the audit would refuse after its data are read, and what it could not measure."""
    test, threat = parts.test, parts.threat
    shown = len(test.classes) or (int(test.labels.max()) + 1 if test.labelled else 0)
    if shown > threat.num_classes:
        yield (
            f"the test rows have {shown} classes and the model has {threat.num_classes}: some rows "
            "can never be right"
        )
    if spec.milestones and max(spec.milestones) > spec.budget:
        yield (
            f"the milestone {max(spec.milestones):,} lies above the budget of {spec.budget:,}, and "
            "is never reached"
        )
    stand_in = LabelledInputs(
        torch.zeros(2, *threat.input_shape, dtype=torch.uint8), torch.tensor([0, 1]), (), "proxy",
        text=threat.text,
    )  # fmt: skip
    proxy = stand_in if needs_proxy(spec) and threat.features is None else None
    parts = replace(parts, proxy=proxy)
    if spec.panel:
        try:
            must_fit(spec, threat.num_classes)
        except CloneCostError as error:
            yield words(error)
            return
    planned, refused = audits(of_one_entry(spec), parts, Path("check")), []
    for audit in planned:
        try:
            check_audit(audit)
        except CloneCostError as error:
            untrained = any(
                isinstance(one, RunWorkflow) and one.workflow == "train generator"
                for one in error.remedies
            )
            if not untrained:  # the plan says that; and `check_audit` says it last
                refused.append(words(error))
    if spec.panel is None or len(refused) == len(planned):  # a panel leaves out what does not fit
        yield from refused
