"""Would the owner have noticed? The sentence, and the alarms that decide nothing."""

from collections.abc import Sequence
from math import ceil

from clonecost.result import percent
from clonecost.result.detection import DetectorFinding

CHANCE = 0.5  # share of honest accounts that alarm by then, beyond which an alarm decides nothing


def set_aside(
    findings: Sequence[DetectorFinding], rate: float, account_rows: int
) -> list[DetectorFinding]:
    """The findings, each with the reason why its alarm decides nothing, if there is one.

    The threshold of a detector is too low if the interval of its false alarms, on accounts that set
    no threshold, lies above the rate that was asked for: accounts of one part share rows, so that
    thresholds from few rows scatter more than the number of accounts tells. A late alarm on a long
    stream is expected of honest accounts, too: each stretch of `account_rows` rows has the rate
    anew.
    """
    rates = _rates(findings, rate)
    return [
        one.model_copy(update={
            "set_aside": _too_low(one, rate) or _by_chance(one, rates, account_rows)
        })
        for one in findings
    ]  # fmt: skip


def verdict(findings: Sequence[DetectorFinding], rows: int, rate: float, account_rows: int) -> str:
    """One sentence: would the owner have noticed?

    Args:
        findings: from `set_aside`.
        rows: of the attack.
        rate: the false-alarm rate that was asked for.
        account_rows: of a benign account.

    Example:
        >>> verdict([], 100, 0.01, 50)
        'Not known: no detector could judge this run.'
    """
    judged = [one for one in findings if one.why_not is None]
    if not judged:
        return "Not known: no detector could judge this run."
    alarms = [(one.first_alarm, one) for one in judged if one.first_alarm is not None]
    counted = [(one.alarm, one) for one in judged if one.alarm is not None]
    if counted:
        alarm, first = min(counted, key=lambda pair: pair[0])
        clone = "before the first score of the clone"
        if first.agreement is not None:
            clone = (
                f"when the clone's agreement was {percent(first.agreement.value)} or more "
                f"(at {first.milestone:,} rows)"
            )
        rates = _rates(judged, rate)
        honest = percent(honest_alarms(alarm, rates, account_rows))
        any_of = "it" if len(rates) == 1 else f"any of the {len(rates)} detectors that decide"
        return (
            f"Yes: {first.name} alarmed after {alarm:,} of {rows:,} rows, {clone}; at {any_of} at "
            f"most {honest} of honest accounts alarm by then."
        )
    beside = "".join(
        f"; {one.name} alarmed after {alarm:,} rows, but {one.set_aside}" for alarm, one in alarms
    )
    silent = [one.name for one in judged if one.first_alarm is None]
    if not silent:
        return f"Not known: no alarm decides{beside}."
    return (
        f"No: none of {', '.join(silent)} alarmed on the {rows:,} rows of the attack, at a "
        f"false-alarm rate of {percent(rate)} for each {account_rows:,} rows of an "
        f"account{beside}."
    )


def honest_alarms(rows: int, rates: Sequence[float], account_rows: int) -> float:
    """The largest share of honest accounts that alarm at any of the detectors within `rows` rows.

    By the union bound over detectors and stretches.

    Args:
        rates: the false-alarm rate of each detector within one stretch.

    Example:
        >>> honest_alarms(101, [0.01, 0.01], 100)
        0.04
    """
    return min(1.0, ceil(rows / account_rows) * sum(rates))


def _rates(findings: Sequence[DetectorFinding], rate: float) -> list[float]:
    """The false-alarm rate of each detector whose alarms may decide.

    The rate that was asked for, or the measured one where it is higher: within its interval it may
    be true.
    """
    return [
        max(rate, one.false_alarms.value if one.false_alarms else 0.0)
        for one in findings
        if one.why_not is None and _too_low(one, rate) is None
    ]


def _too_low(one: DetectorFinding, rate: float) -> str | None:
    alarms = one.false_alarms
    if alarms is None or alarms.low <= rate:
        return None
    return (
        f"its threshold is too low: {alarms} of the honest accounts that did not set it alarm, "
        f"and {percent(rate)} were asked for"
    )


def _by_chance(one: DetectorFinding, rates: Sequence[float], account_rows: int) -> str | None:
    if one.first_alarm is None:
        return None
    honest = honest_alarms(one.first_alarm, rates, account_rows)
    if honest <= CHANCE:
        return None
    return f"up to {percent(honest)} of honest accounts alarm within so many rows, too"
