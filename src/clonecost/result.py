"""The result of an audit as data: `run/result.json` and its published schema.

Every report is a pure function of these models and of the run's `samples.safetensors` and
`search.safetensors`. `json_schema()` is the JSON schema; `SCHEMA` changes when a field changes its
meaning or is removed.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
)

from clonecost.errors import Advice, RunError, RunWorkflow
from clonecost.types import Access, AnswerKind, InputPrecision, Purpose

SCHEMA: Literal["clonecost/result/2"] = "clonecost/result/2"


class Model(BaseModel):
    """The base of all models: frozen, without unknown fields; infinities are text in JSON."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_inf_nan="strings", defer_build=True
    )


class Measured(Model):
    """A number of a clone or a model with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Value and interval in words.

        Example:
            >>> str(Rate(value=0.516, low=0.474, high=0.558))
            '51.6 % (95 % CI 47.4 to 55.8 %)'
        """
        value, low, high = (100 * share for share in (self.value, self.low, self.high))
        return f"{value:.1f} % (95 % CI {low:.1f} to {high:.1f} %)"


class Rate(Measured):
    """A proportion of test rows with its 95 % interval (Wilson's)."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Corrected(Measured):
    """A rate corrected for chance: 0 is its majority-class baseline, 1 is all rows.

    Below 0 is worse than the baseline. `clonecost.evaluation.chance` makes it.
    """

    value: float = Field(le=1)
    low: float = Field(le=1)
    high: float = Field(le=1)

    @property
    def above_chance(self) -> bool:
        """Whether the interval lies above the majority-class baseline."""
        return self.low > 0


def percent(share: float) -> str:
    """A share without an interval in words: 0.102 is "10.2 %"."""
    return f"{100 * share:.1f} %"


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


class VictimCard(Model):
    """The victim, and its accuracy on the test set."""

    name: str
    accuracy: Rate | None = Field(description="null if the test set has no labels")
    majority_accuracy: float | None = Field(
        description="accuracy of a model that always predicts the most frequent label; null if "
        "the test set has no labels"
    )
    test_set: str
    test_rows: int
    classes: list[str]
    weights: str | None = Field(description="sha256 of the victim's weights or file, when known")
    served: str = Field(default="", description="how it was run or reached, if that is known")


# Words that say something: a blank or a dash names nobody.
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"\w")]


class Authorisation(Model):
    """The permission to query a model on another machine; required for every remote endpoint."""

    owner: Words = Field(description="the owner of the model")
    granted_by: Words = Field(description="the person who gave the written permission")
    date: str = Field(description="the date of the permission, as YYYY-MM-DD")
    scope: Words = Field(description="the scope of the permission, in words")
    until: str | None = Field(
        default=None, description="the last day on which it holds; null: two years"
    )
    rows: int | None = Field(
        default=None, ge=1, description="the most rows that may be sent; null: no limit"
    )

    @field_validator("date", "until", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> str | None:
        return None if value is None else date.fromisoformat(str(value)[:10]).isoformat()


class EndpointCard(Model):
    """A victim behind HTTP: how it was queried, and how fast it answered."""

    url: str
    protocol: str
    authorisation: Authorisation | None = Field(description="null for an endpoint on this machine")
    rate: float = Field(description="the most rows per second that were sent")
    rows_per_request: int
    requests: int = Field(description="answered in the last session of the audit")
    latency: float | None = Field(
        description="median seconds of a request in that session, without waiting for the rate"
    )
    lost_limit: int | None = Field(description="the most rows that the run might lose")

    def hours(self, rows: int) -> float:
        """The least number of hours that it takes to send `rows` rows at that rate."""
        return rows / self.rate / 3600


class FeatureCard(Model):
    """A column of a table: a number from low to high, or one of the categories."""

    name: str
    low: float
    high: float
    categories: list[str]


class ThreatCard(Model):
    """The threat model, field by field as in `clonecost.ThreatModel`."""

    input_shape: list[int]
    num_classes: int
    query_budget: int
    answers: AnswerKind
    top_k: int | None
    input_precision: InputPrecision
    access: Access
    features: list[FeatureCard] | None = Field(default=None, description="null: pixels in [0, 1]")
    incomplete: bool = Field(default=False, description="a table's rows may have missing values")


class AttackCard(Model):
    """The attack with its settings, its student and its proxy data."""

    name: str
    settings: dict[str, JsonValue] = Field(description="every hyper-parameter of the attack")
    student: str
    proxy: str | None


class DefenceCard(Model):
    """A defence with its settings."""

    name: str
    settings: dict[str, JsonValue]


class Price(Model):
    """The price of the clone: the price per 1,000 queries times all paid rows."""

    usd_per_1000: float | None
    usd: float | None = Field(description="(spent + lost) rows at that price; null without a price")


class Span(Model):
    """Queries and answers in one of the equal parts of the budget."""

    first: int = Field(ge=0, description="number of its first row in the attack's stream, from 0")
    rows: int = Field(gt=0, description="fewer in the last span if the attack stopped early")
    class_histogram: list[int] = Field(description="rows by the answer's top class")
    mean_entropy: float = Field(description="mean entropy of an answer, in nats")


class Traffic(Model):
    """Queries and answers, over every row of the attack (replayed ones too)."""

    rows: int
    class_histogram: list[int] = Field(description="rows by the answer's top class")
    mean_entropy: float = Field(description="mean entropy of an answer, in nats")
    confident: float = Field(description="share of answers whose top probability exceeds 0.9")
    purposes: dict[Purpose, int] = Field(
        default_factory=dict,
        description="rows by purpose; only the answers of training rows are used for training",
    )
    over_time: list[Span] = Field(
        default_factory=list,
        description="equal spans of the budget in order, without those that have no query",
    )


class Search(Model):
    """The searches of an attack that searches for each of its images, and their cost in rows."""

    targets: int = Field(ge=0, description="searches that ended, with or without success")
    reached: int = Field(ge=0, description="ended searches that met the threshold")
    queries_per_class: list[int] = Field(description="rows spent by the class searched for")
    used_rows: int = Field(ge=0, description="rows that the student is trained on")
    wasted: float = Field(ge=0, le=1, description="1 - used_rows / spent")
    generations: float = Field(ge=0, description="mean generations of a search that ended")


class SpotCheck(Model):
    """Rows that were sent again, to detect that the victim has changed."""

    rows: int = Field(ge=0, description="paid rows, in an account of their own")
    asked: int = Field(ge=0, description="rows that were answered and compared")
    changed: int = Field(ge=0, description="compared rows with another answer than before")
    largest: float = Field(ge=0, le=1, description="largest change of a probability")


class Flag(Model):
    """A red flag: a warning of the audit about its own numbers."""

    code: str
    severity: Literal["info", "warning"]
    message: str


class Control(Model):
    """The same clone recipe without the victim's knowledge, for comparison."""

    name: Literal["shuffled_answers", "untrained_student", "true_labels"]
    accuracy: Rate | None = Field(description="null if the test set has no labels")
    agreement: Rate
    corrected_agreement: Corrected


class Provenance(Model):
    """The versions, machine, seed and ledger of a run."""

    version: str
    revision: str | None = Field(description="the code's git revision, when it runs from a clone")
    created: str = Field(description="UTC time at which the audit ended, ISO 8601")
    command: str
    seed: int
    device: str
    threads: int
    python: str
    torch: str
    platform: str
    ledger_head: str = Field(description="last digest of the ledger's chain, over all its rows")
    ledger_rows: int
    resumed: int = Field(description="how many times this run was resumed")


class Strength(Model):
    """Adversarial examples of one kind and size, made on the clone."""

    method: str = Field(description="fgsm, pgd, mim; noise: the control, with random signs")
    epsilon: float = Field(gt=0, le=1, description="the largest change of a pixel in [0, 1]")
    fooled: Rate = Field(
        description="rows that the victim classified correctly before and incorrectly after; "
        "without labels, rows whose class changed"
    )
    fooled_clone: Rate = Field(description="of the same rows, those the clone then misclassifies")


class Transfer(Model):
    """Transferability of adversarial examples made on the clone, as in `RUN/transfer.json`."""

    schema_: Literal["clonecost/transfer/2"] = Field(default="clonecost/transfer/2", alias="schema")
    rows: int = Field(description="test rows that were sent unchanged")
    right: int = Field(description="rows that the victim classified correctly; only these count")
    labelled: bool = Field(
        description="false: the test set has no labels, and the victim's own answer to the "
        "unchanged row stands for its class, so that all rows count"
    )
    queries: int = Field(description="rows answered, clean ones and noise included")
    lost: int = Field(description="rows paid without an answer")
    seed: int
    found: list[Strength]
    seconds: float
    ledger: str = Field(description="the transfer's ledger, relative to the run folder")
    ledger_head: str
    clone: str = Field(description="sha256 of the clone's file")

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}


class Result(Model):
    """The result of one audit, as in `RUN/result.json`.

    Example:
        >>> read_result(Path("runs/lenet")).curve[-1].agreement  # doctest: +SKIP
        Rate(value=0.95, low=0.94, high=0.96)
    """

    schema_: Literal["clonecost/result/2"] = Field(default=SCHEMA, alias="schema")
    victim: VictimCard
    threat: ThreatCard
    attack: AttackCard
    endpoint: EndpointCard | None = Field(default=None, description="null for a local victim")
    defences: list[DefenceCard]
    curve: list[Score] = Field(min_length=1, description="by queries; the last is the final clone")
    per_class: list[ClassAgreement]
    spent: int = Field(description="rows answered to the attack: the price of this clone")
    lost: int = Field(description="rows sent whose answer never arrived or was unusable; paid too")
    evaluation: int = Field(
        description="rows of the test set, and uniform rows of a table, paid apart and answered by "
        "the undefended victim"
    )
    ended: Literal["finished", "budget_exhausted"]
    majority_agreement: float = Field(
        description="majority-class baseline: agreement of a clone that always predicts the "
        "victim's most frequent class"
    )
    price: Price
    traffic: Traffic
    search: Search | None = Field(default=None, description="null for an attack without a search")
    spot_check: SpotCheck | None = Field(default=None, description="null when none was made")
    controls: list[Control]
    flags: list[Flag]
    seconds: float
    provenance: Provenance

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True
    )

    @property
    def learnt(self) -> bool:
        """Whether the last clone learnt anything; if not, there is no verdict on the victim."""
        return self.curve[-1].learnt


def json_schema() -> dict[str, Any]:
    """The JSON schema of `result.json`."""
    return Result.model_json_schema(by_alias=True)


def read_transfer(run: Path) -> Transfer | None:
    """Read `run/transfer.json`; None if the run has no transfer.

    Raises:
        RunError: the file does not fit this version's schema.
    """
    path = run / "transfer.json"
    if not path.is_file():
        return None
    try:
        return Transfer.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(
            f"{path} is not a clonecost/transfer/2 document", RunWorkflow("transfer", run)
        ) from error


def read_result(run: Path) -> Result:
    """Read `run/result.json`.

    Raises:
        RunError: the run has no result, or it does not fit this version's schema.
    """
    path = run / "result.json"
    if not path.is_file():
        raise RunError(
            f"{run} has no result.json: the audit did not finish", RunWorkflow("resume", run)
        )
    try:
        return Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(
            f"{path} is not a {SCHEMA} document: {where}: {first['msg']}",
            Advice("run the audit again with this version"),
        ) from error
