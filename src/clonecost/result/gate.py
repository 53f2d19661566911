"""Limits of a release pipeline, applied to the results of audits: a pure function of both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clonecost.result.document import Result
from clonecost.result.score import Score, metric_value

Status = Literal["passed", "exceeded", "no_verdict", "no_labels"]


@dataclass(frozen=True)
class Limit:
    """The largest share that a metric may have, for each of the runs.

    Attributes:
        metric: a name of `clonecost.result.metrics()`.
        share: from 0 to 1; a value equal to it passes.
        queries: the clone of the first milestone at or above this many, or the final one if the
            run ended before; None: the final clone.
        worst: written with `worst.`, which says what holds anyway: the largest value decides.
    """

    metric: str
    share: float
    queries: int | None = None
    worst: bool = False

    @property
    def asked(self) -> str:
        """What is limited, as it is written.

        Example:
            >>> Limit("agreement", 0.75, 10_000, worst=True).asked
            'worst.agreement@10000'
        """
        at = "" if self.queries is None else f"@{self.queries}"
        return f"{'worst.' if self.worst else ''}{self.metric}{at}"

    def __str__(self) -> str:
        return f"{self.asked}={self.share:g}"


@dataclass(frozen=True)
class Outcome:
    """A limit on some results: whether it holds, by which value, of which run."""

    limit: Limit
    status: Status
    value: float | None = None  # the largest; None when no clone that learnt anything has one
    of: str = ""  # the run with that value, in words
    at: int | None = None  # queries of the clone with that value

    @property
    def sentence(self) -> str:
        """What was found, in words, without the run."""
        match self.status:
            case "passed" if self.value is None:
                return f"{self.limit.asked} has no clone that learnt anything within these queries"
            case "passed" | "exceeded":
                than = "above" if self.status == "exceeded" else "not above"
                other = self.limit.queries is not None and self.at != self.limit.queries
                place = f" (the clone at {self.at:,} queries)" if other else ""
                return f"{self.limit.asked} {self.value:.3f} is {than} {self.limit.share:g}{place}"
            case "no_verdict":
                return f"{self.limit.asked} has no verdict: no attack made a clone that learnt"
            case "no_labels":
                return f"{self.limit.metric} is not known: the test set has no labels"


def split(asked: str) -> tuple[bool, str, int | None] | None:
    """The parts of `worst.METRIC@N`: (worst, metric, N); None if N is no number above 0.

    Example:
        >>> split("worst.agreement@10_000")
        (True, 'agreement', 10000)
    """
    found = re.fullmatch(r"(worst\.)?([^@]*)(?:@([0-9][0-9_]*))?", asked)
    if found is None or (found[3] and not int(found[3].replace("_", ""))):
        return None
    return bool(found[1]), found[2], int(found[3].replace("_", "")) if found[3] else None


def apply(limit: Limit, results: Sequence[Result]) -> Outcome:
    """The limit on the results of one or several runs; the largest value decides.

    A clone that learnt nothing decides nothing, be it the last one (its attack failed) or that of
    the milestone; nor does a reference, which no attacker behind the API can make.

    Example:
        >>> apply(Limit("agreement", 0.9), results).status  # doctest: +SKIP
        'passed'
    """
    decide = [result for result in results if decides(result)]
    # failed attacks alone are asked, too, whether they know the metric
    scored = [(score_at(result, limit.queries), result) for result in decide or results]
    known = [
        (value, score, result)
        for score, result in scored
        if (value := metric_value(score, limit.metric)) is not None
    ]
    if scored and not known:
        return Outcome(limit, "no_labels")
    if not decide:
        return Outcome(limit, "no_verdict")
    learnt = [(value, score, result) for value, score, result in known if score.learnt]
    if not learnt:
        return Outcome(limit, "passed")
    value, score, result = max(learnt, key=lambda one: one[0])
    of = f"{result.attack.name} (seed {result.provenance.seed})"
    status: Status = "exceeded" if value > limit.share else "passed"
    return Outcome(limit, status, value, of, score.queries)


def decides(result: Result) -> bool:
    """Whether a run says something about the victim: its attack is one, and did not fail."""
    return result.learnt and not result.reference


def score_at(result: Result, queries: int | None) -> Score:
    """The score of the first milestone at or above `queries`; of the final clone if none is.

    Between two milestones the curve is not known: the earlier one would let a clone pass that grew
    too good before `queries`.
    """
    if queries is None:
        return result.curve[-1]
    return next((one for one in result.curve if one.queries >= queries), result.curve[-1])
