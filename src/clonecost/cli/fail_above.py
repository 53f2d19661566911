"""`--fail-above METRIC=SHARE`: the exit status of an audit as a gate of a release pipeline.

A clone that is no better than one that ignores its input decides nothing: its attack failed, and
says little about the victim. When all attacks failed, the gate neither passes nor fails (status 3).
"""

from collections.abc import Mapping, Sequence

from clonecost.errors import Advice, SetKey, SpecError, suggest
from clonecost.result import Result, metric_value, metrics

ABOVE, NO_VERDICT = 1, 3  # exit statuses; 2 is an error
NEED_LABELS = ("accuracy", "relative_accuracy")


def limits_of(written: list[str] | None) -> dict[str, float]:
    """The limits of `--fail-above`: texts METRIC=SHARE -> {metric: share}.

    Raises:
        SpecError: a metric is unknown, or a share is not from 0 to 1.

    Example:
        >>> limits_of(["agreement=0.9"])
        {'agreement': 0.9}
    """
    known = [name for name, metric in metrics().items() if metric.kind == "share"]
    limits = {}
    for text in written or []:
        metric, _, share = text.partition("=")
        if metric not in known:
            raise SpecError(suggest("metric", metric, known))
        try:
            limits[metric] = float(share)
        except ValueError:
            limits[metric] = -1
        if not 0 <= limits[metric] <= 1:  # 90 would never be exceeded
            raise SpecError(
                "--fail-above does not take this value",
                got=repr(text),
                want=f"{metric}=SHARE with a share from 0 to 1, such as {metric}=0.9",
            )
    return limits


def must_be_known(limits: Mapping[str, float], *, labelled: bool) -> None:
    """Refuse a limit on a metric that needs true labels if the test set has none.

    Raises:
        SpecError: there is such a limit. Raise it before a row is paid for.
    """
    for metric in NEED_LABELS:
        if metric in limits and not labelled:
            raise _unknown(metric)


def judged(limits: Mapping[str, float], results: Sequence[Result]) -> tuple[int, list[str]]:
    """The exit status of the results under the limits, and sentences that say why.

    Returns:
        (0, 1 above a limit or 3 when all attacks failed; a sentence for each limit that is
        exceeded and for failed attacks)

    Raises:
        SpecError: a limit's metric is not known of any of the results, or of any clone that
            learnt.

    Example:
        >>> judged({}, [])
        (0, [])
    """
    if not limits:
        return 0, []
    learnt = [result for result in results if result.learnt]
    said = []
    for metric, limit in limits.items():
        # failed attacks alone are asked, too, whether they know the metric
        values = [metric_value(result.curve[-1], metric) for result in learnt or results]
        known = [value for value in values if value is not None]
        if values and not known:
            raise _unknown(metric)
        if learnt and (worst := max(known)) > limit:
            said.append(f"{metric} {worst:.3f} is above {limit:g}")
    status = ABOVE if said else 0
    failed = [result for result in results if not result.learnt]
    if failed:
        names = ", ".join(
            f"{result.attack.name} (seed {result.provenance.seed})" for result in failed
        )
        said.append(
            f"no verdict from {names}: the clone is not above the majority-class baseline, so no "
            "limit was applied to it"
        )
    if results and not learnt:
        status = NO_VERDICT
    return status, said


def _unknown(metric: str) -> SpecError:
    return SpecError(
        f"--fail-above {metric} cannot be checked: the test set has no labels, so {metric} is not "
        "known", SetKey("test"), Advice("set a limit for corrected_agreement instead"),
    )  # fmt: skip
