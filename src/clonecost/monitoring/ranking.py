"""The principals of a log by suspicion, with each detector's score."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import NO_VERDICT, Detector, Numbers, Stream, Watch
from clonecost.errors import Advice, DataError, SetKey
from clonecost.monitoring.benign import LONGEST, accounts_needed
from clonecost.monitoring.calibration import conformal
from clonecost.monitoring.log_file import Log
from clonecost.result.log_ranking import LogRanking, Principal, Usage

FEWEST = 5  # principals that are compared with each other
EACH = 200  # rows of a principal in the reference, so that no heavy user sets it alone
REFERENCE = 20_000  # rows of the reference
STRETCHES = 50  # of one principal that are watched, evenly spaced
SPREAD = 1.4826  # standard deviations in a median absolute deviation of a normal distribution
SHORTEST = 50  # rows of a principal that thresholds are set by
LEAST_SPREAD = 0.01  # so that equal scores are no infinite suspicion


def rank(
    log: Log, detectors: Mapping[str, Detector], *, rate: float, benign: Log | None = None,
    seed: int = 0,
) -> LogRanking:  # fmt: skip
    """Rank the principals of a log.

    Args:
        detectors: by name.
        rate: false-alarm rate over a principal's stream; needs `benign`.
        benign: a log of honest principals. None: the log's principals are compared with each other,
            and there is a ranking but no alarm.

    Raises:
        DataError: there are too few principals to compare or to calibrate with.
    """
    rng = np.random.default_rng(seed)
    honest = log if benign is None else benign
    known = [honest.stream(number) for number in range(len(honest.principals))]
    known = [stream for stream in known if len(stream) >= SHORTEST]
    width = log.rows.classes
    if benign is not None:
        width = max(width, len(log.classes) + 1)  # the last one: classes that the log never names
        known = _in_classes_of(log, benign, known, width)
    needed = FEWEST if benign is None else accounts_needed(rate) // 2 + FEWEST
    if len(known) < needed:
        raise DataError(
            f"{honest.path} has {len(known):,} principals with {SHORTEST} rows or more, and it "
            f"takes {needed:,} to compare with them",
            Advice("give a longer log" if benign is None else "give a longer log of honest use"),
            *([] if benign is None else [SetKey("rate")]),
        )  # fmt: skip
    learnt, judged = (known, known)
    if benign is not None:
        learnt, judged = _apart(known, needed - FEWEST, rng)
    reference = _reference(learnt, rng)
    names = list(detectors)
    cannot = {name: detectors[name].cannot(reference) for name in names}
    used = [name for name in names if not cannot[name]]
    streams = [replace(log.stream(number), classes=width) for number in range(len(log.principals))]
    scores, compared = np.full((len(streams), len(used)), NO_VERDICT), []
    limits = np.full(len(used), np.inf)
    for column, name in enumerate(used):
        watch = detectors[name].learn(reference, [part.take(slice(LONGEST)) for part in learnt])
        scores[:, column] = [largest(watch, stream) for stream in streams]
        others = scores[:, column]
        if benign is not None:
            others = np.array([largest(watch, stream) for stream in judged])
            limits[column] = conformal(others, rate)
        compared.append(others)
    deviations = np.stack([_deviations(scores[:, at], compared[at]) for at in range(len(used))], 1)
    busiest = log.busiest_days()
    principals = [
        _principal(log.principals[number], streams[number], int(busiest[number]), used,
                   scores[number], deviations[number], limits)
        for number in range(len(streams))
    ]  # fmt: skip
    principals.sort(key=lambda one: (len(one.alarms), one.suspicion or 0.0), reverse=True)
    median, most_95, most_99 = np.quantile(busiest, [0.5, 0.95, 0.99], method="higher")
    return LogRanking(
        log=str(log.path), rows=len(log.rows), first=_date(log.times[0]), last=_date(log.times[-1]),
        compared_with="each other" if benign is None else f"the principals of {benign.path}",
        rate=None if benign is None else rate,
        not_used={name: why for name, why in cannot.items() if why},
        usage=Usage(median=int(median), most_95=int(most_95), most_99=int(most_99)),
        principals=principals,
    )  # fmt: skip


def largest(watch: Watch, stream: Stream) -> float:
    """The largest statistic of a principal, over stretches of its rows."""
    starts = np.arange(0, len(stream), LONGEST)
    if len(starts) > STRETCHES:
        starts = starts[np.linspace(0, len(starts) - 1, STRETCHES).astype(np.intp)]
    found = [watch(stream.take(slice(at, at + LONGEST))).max(initial=NO_VERDICT) for at in starts]
    return float(max(found))


def _apart(
    known: Sequence[Stream], least: int, rng: np.random.Generator
) -> tuple[list[Stream], list[Stream]]:
    """A few honest principals to learn from, and the others, at least `least`, for thresholds."""
    order = rng.permutation(len(known))
    few = min(max(FEWEST, len(known) // 5), len(known) - least)
    return [known[at] for at in order[:few]], [known[at] for at in order[few:]]


def _reference(known: Sequence[Stream], rng: np.random.Generator) -> Stream:
    """Rows of all principals, of each at most as many as of a light user."""
    each = max(1, min(EACH, REFERENCE // len(known)))
    parts = [part.take(np.sort(rng.permutation(len(part))[:each])) for part in known]
    first = parts[0]
    confidence = None
    if first.confidence is not None:
        confidence = np.concatenate([p.confidence for p in parts if p.confidence is not None])
    return Stream(
        digests=np.concatenate([part.digests for part in parts]),
        top=np.concatenate([part.top for part in parts]), classes=first.classes,
        confidence=confidence,
    )  # fmt: skip


def _in_classes_of(log: Log, benign: Log, streams: Sequence[Stream], width: int) -> list[Stream]:
    """The benign streams with the class numbers of the log; unknown classes are the last one."""
    number = {name: at for at, name in enumerate(log.classes)}
    place: NDArray[np.int64] = np.array(
        [number.get(name, len(log.classes)) for name in benign.classes], np.int64
    )
    if (log.rows.confidence is None) != (benign.rows.confidence is None):
        raise DataError(f"Only one of {log.path} and {benign.path} has confidences",
                        Advice("log the confidence in both, or in neither"))  # fmt: skip
    return [replace(part, top=place[part.top], classes=width) for part in streams]


def _deviations(scores: Numbers, others: Numbers) -> Numbers:
    """Scores in robust standard deviations above the others' median; NaN without a verdict."""
    known = others[np.isfinite(others)]
    if not len(known):
        return np.full(len(scores), np.nan)
    median = np.median(known)
    spread = max(SPREAD * float(np.median(np.abs(known - median))), LEAST_SPREAD)
    return np.where(np.isfinite(scores), (scores - median) / spread, np.nan)


def _principal(
    name: str, stream: Stream, busiest: int, used: Sequence[str], scores: Numbers,
    deviations: Numbers, limits: Numbers,
) -> Principal:  # fmt: skip
    known = {
        key: None if np.isnan(value) else round(float(value), 6)
        for key, value in zip(used, deviations, strict=True)
    }
    best = max(((value, key) for key, value in known.items() if value is not None), default=None)
    return Principal(
        name=name, rows=len(stream), busiest_day=busiest,
        suspicion=best[0] if best else None, by=best[1] if best else "", scores=known,
        alarms=[key for key, over in zip(used, scores > limits, strict=True) if over],
    )  # fmt: skip


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
