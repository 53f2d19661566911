"""`--fail-above METRIC=SHARE`: the exit status of a command as a gate of a release pipeline.

METRIC is a metric, such as `agreement`; `worst.agreement` says that the largest value over the runs
decides, as it does anyway; `agreement@10000` asks the clone of the first milestone at or above
10,000 queries instead of the final one. A clone that is no better than one that ignores its input
decides nothing: its attack failed, and says little about the victim. Nor does a reference, which no
attacker behind the API can make. When no run is left, the gate neither passes nor fails (status 3).
"""

from collections.abc import Sequence

from clonecost.errors import Advice, SetKey, SpecError, suggest
from clonecost.result import Result, metrics
from clonecost.result.gate import Limit, Outcome, apply, decides, split

ABOVE, NO_VERDICT = 1, 3  # exit statuses; 2 is an error
NEED_LABELS = ("accuracy", "relative_accuracy")


def limits_of(written: list[str] | None) -> list[Limit]:
    """The limits of `--fail-above`: texts METRIC=SHARE.

    Raises:
        SpecError: a metric is unknown, or a share is not from 0 to 1.

    Example:
        >>> limits_of(["worst.agreement@10000=0.75"])
        [Limit(metric='agreement', share=0.75, queries=10000, worst=True)]
    """
    return [_limit(text) for text in written or []]


def _limit(text: str) -> Limit:
    known = [name for name, metric in metrics().items() if metric.kind == "share"]
    asked, _, written = text.partition("=")
    parts = split(asked)
    if parts is None:
        raise SpecError(
            "--fail-above does not take this value", got=repr(text),
            want="METRIC@N=SHARE with a number of queries N above 0, such as agreement@10000=0.75",
        )  # fmt: skip
    worst, metric, queries = parts
    if metric not in known:
        raise SpecError(suggest("metric", metric, known), SetKey("fail_above"))
    try:
        share = float(written)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:  # 90 would never be exceeded
        raise SpecError(
            "--fail-above does not take this value",
            got=repr(text),
            want=f"{metric}=SHARE with a share from 0 to 1, such as {metric}=0.9",
        )
    return Limit(metric, share, queries, worst)


def must_be_known(limits: Sequence[Limit], *, labelled: bool) -> None:
    """Refuse a limit on a metric that needs true labels if the test set has none.

    Raises:
        SpecError: there is such a limit. Raise it before a row is paid for.
    """
    for limit in limits:
        if limit.metric in NEED_LABELS and not labelled:
            raise _unknown(limit)


def outcomes(limits: Sequence[Limit], results: Sequence[Result]) -> list[Outcome]:
    """Each limit on the results.

    Raises:
        SpecError: a limit's metric is not known of any of the results.
    """
    found = [apply(limit, results) for limit in limits]
    for outcome in found:
        if outcome.status == "no_labels":
            raise _unknown(outcome.limit)
    return found


def judged(limits: Sequence[Limit], results: Sequence[Result]) -> tuple[int, list[str]]:
    """The exit status of the results under the limits, and sentences that say why.

    Returns:
        (0, 1 above a limit or 3 when no run decides; a sentence for each limit that is exceeded,
        for failed attacks and for references)

    Raises:
        SpecError: as `outcomes`.

    Example:
        >>> judged([], [])
        (0, [])
    """
    if not limits:
        return 0, []
    by = len(results) > 1
    said = [
        f"{found.sentence}{f': {found.of}' if by else ''}"
        for found in outcomes(limits, results)
        if found.status == "exceeded"
    ]
    status = ABOVE if said else 0
    if failed := [result for result in results if not result.learnt]:
        said.append(
            f"no verdict from {_names(failed)}: the clone is not above the majority-class "
            "baseline, so no limit was applied to it"
        )
    if references := [result for result in results if result.learnt and result.reference]:
        said.append(
            f"no verdict from {_names(references)}: no attacker behind the API can make that "
            "clone, so no limit was applied to it"
        )
    if results and not any(map(decides, results)):
        status = NO_VERDICT
    return status, said


def _names(results: Sequence[Result]) -> str:
    return ", ".join(f"{one.attack.name} (seed {one.provenance.seed})" for one in results)


def _unknown(limit: Limit) -> SpecError:
    return SpecError(
        f"--fail-above {limit.asked} cannot be checked: the test set has no labels, so "
        f"{limit.metric} is not known", SetKey("test"),
        Advice("set a limit for corrected_agreement instead"),
    )  # fmt: skip
