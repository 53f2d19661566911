"""The score of a clone. Each metric is declared here once, as a field of `Score`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from clonecost.result.rates import Corrected, Measured, Model, Rate


class TableScore(Model):
    """Errors of a clone of a table's model, as Tramèr et al. (USENIX Security 2016) define them."""

    r_test: Rate = Field(description="clone predicts another class than the victim: 1 - agreement")
    tv_test: float = Field(description="mean total variation distance of answers, on the test rows")
    uniform_rows: int = Field(
        default=0, description="rows drawn uniformly from the features' ranges"
    )
    r_unif: Rate | None = Field(default=None, description="as r_test, on the uniform rows")
    tv_unif: float | None = Field(default=None, description="as tv_test, on the uniform rows")


@dataclass(frozen=True)
class Metric:
    """A mark on a field of `Score`: the field is a metric, which reports show under `title`.

    A metric with an interval is a `Measured`, any other a float, averaged over seeds. One that
    needs true labels is None when the test set has none.
    """

    title: str  # the heading of its column, with its unit
    kind: Literal["share", "nats", "number"] = "share"  # only a share can have a limit


class Score(Model):
    """A clone, scored on the test set after `queries` rows. Each metric is declared here once."""

    queries: int = Field(description="rows that the attack had spent on this clone")
    accuracy: Annotated[Rate | None, Metric("Accuracy")] = Field(
        description="the clone predicts the true label; null if the test set has no labels"
    )
    agreement: Annotated[Rate, Metric("Agreement")] = Field(
        description="the clone predicts the undefended victim's top class (fidelity)"
    )
    corrected_agreement: Annotated[Corrected, Metric("Chance-corrected agreement")] = Field(
        description="(agreement - b) / (1 - b), b the majority-class baseline: 0 is a clone that "
        "always predicts one class, 1 a perfect one; verdict and bands use it"
    )
    balanced_agreement: Annotated[Rate, Metric("Balanced agreement")] = Field(
        description="mean of the agreement on each class that the victim predicts on the test set"
    )
    learnt: bool = Field(
        description="the clone is better than one that ignores its input; false: the attack failed "
        "and there is no verdict (`clonecost.evaluation.chance.learnt`)"
    )
    relative_accuracy: Annotated[float | None, Metric("Relative accuracy")] = Field(
        description="clone's accuracy / victim's accuracy; null if the test set has no labels"
    )
    kl: Annotated[float, Metric("KL divergence (nats)", "nats")] = Field(
        description="mean KL(victim || clone) in nats on the test set"
    )
    table: TableScore | None = Field(default=None, description="null for a victim of images")


def metrics() -> dict[str, Metric]:
    """The metrics of a `Score` by field name, in their order.

    Example:
        >>> metrics()["agreement"].title
        'Agreement'
    """
    return {
        name: mark
        for name, field in Score.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Metric)
    }


def metric_value(score: Score, name: str) -> float | None:
    """The value of one of `metrics()`, without its interval; None if it is not known.

    Raises:
        AttributeError: `name` is not a field of the score.
    """
    value = getattr(score, name)
    if value is None:
        return None
    return value.value if isinstance(value, Measured) else float(value)


class ClassAgreement(Model):
    """Agreement of the final clone on the test rows for which the victim predicts one class."""

    name: str
    rows: int
    agreement: Rate | None = Field(description="null if the victim never predicts this class")
    majority: float | None = Field(
        default=None,
        description="of a multi-label model, whose agreement is over all rows and whose `rows` "
        "have the label: the agreement of a clone that always decides the same on the label",
    )
