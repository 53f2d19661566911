"""What an audit found, as data: `run/result.json` and the published schema behind it.

Every report is a pure function of these models and the run's `samples.safetensors`
and `search.safetensors`.
`clonecost schema` prints the JSON schema; `SCHEMA` changes when a field changes meaning or goes.
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
    ValidationError,
    field_validator,
)

from clonecost.errors import RunError
from clonecost.types import Access, AnswerKind, InputPrecision, Purpose

SCHEMA: Literal["clonecost/result/1"] = "clonecost/result/1"


class Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_inf_nan="strings", defer_build=True
    )


class Rate(Model):
    """A proportion of test rows with its 95 % Wilson interval."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class TableScore(Model):
    """Errors of a clone of a table's model as Tramèr et al. (USENIX Security 2016) have them."""

    r_test: Rate = Field(description="clone names another class than the victim: 1 - agreement")
    tv_test: float = Field(description="mean total variation distance of the probabilities, tests")
    uniform_rows: int = Field(default=0, description="drawn evenly from the ranges of the features")
    r_unif: Rate | None = Field(default=None, description="as r_test, on the uniform rows")
    tv_unif: float | None = Field(default=None, description="as tv_test, on the uniform rows")


@dataclass(frozen=True)
class Metric:
    """How the report shows a field of `Score`; a field marked with one is a metric everywhere.

    A metric with an interval is a `Rate`, any other a float, averaged over seeds.
    """

    title: str  # the heading of its column, with its unit
    kind: Literal["share", "nats", "number"] = "share"  # only shares are limits of --fail-above


class Score(Model):
    """A clone, scored on the test set after `queries` rows. Each metric is declared here once."""

    queries: int = Field(description="rows the attack had bought when this clone was handed over")
    accuracy: Annotated[Rate, Metric("Accuracy")] = Field(
        description="the clone predicts the true label"
    )
    agreement: Annotated[Rate, Metric("Agreement")] = Field(
        description="the clone predicts the undefended victim's top class (fidelity)"
    )
    relative_accuracy: Annotated[float, Metric("Relative accuracy")] = Field(
        description="clone's accuracy / victim's accuracy"
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


def metric_value(score: Score, name: str) -> float:
    """The value of one of `metrics()`, without its interval."""
    found = getattr(score, name)
    return found.value if isinstance(found, Rate) else float(found)


class ClassAgreement(Model):
    """Agreement of the final clone on the test rows that the victim puts in one class."""

    name: str
    rows: int
    agreement: Rate | None = Field(description="null when the victim names this class nowhere")


class VictimCard(Model):
    name: str
    accuracy: Rate
    test_set: str
    test_rows: int
    classes: list[str]
    weights: str | None = Field(description="sha256 of the victim's weights or file, when known")
    served: str = Field(default="", description="how it was run or reached, where that is known")


class Authorisation(Model):
    """Who allowed that somebody else's machine is asked: needed for every one that is not local."""

    owner: str = Field(min_length=1, description="whose model it is")
    granted_by: str = Field(min_length=1, description="who gave the permission, in writing")
    date: str = Field(description="when, as YYYY-MM-DD")
    scope: str = Field(min_length=1, description="what it covers, in words")

    @field_validator("date", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> str:
        return date.fromisoformat(str(value)[:10]).isoformat()


class EndpointCard(Model):
    """A victim at the other end of a wire: how it was asked, and how fast it answered."""

    url: str
    protocol: str
    authorisation: Authorisation | None = Field(description="null for an endpoint on this machine")
    rate: float = Field(description="rows a second, at most: the cap that was kept to")
    rows_per_request: int
    requests: int = Field(description="answered in the last session of the audit")
    latency: float | None = Field(
        description="median seconds of a request in that session, waiting for the cap not included"
    )
    lost_limit: int | None = Field(description="rows that the run might lose at most")

    def hours(self, rows: int) -> float:
        """What sending so many rows takes at least, under the cap."""
        return rows / self.rate / 3600


class FeatureCard(Model):
    """A column of a table: a number from low to high, or one of the categories."""

    name: str
    low: float
    high: float
    categories: list[str]


class ThreatCard(Model):
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
    name: str
    settings: dict[str, JsonValue] = Field(description="every hyper-parameter of the attack")
    student: str
    proxy: str | None


class DefenceCard(Model):
    name: str
    settings: dict[str, JsonValue]


class Price(Model):
    usd_per_1000: float | None
    usd: float | None = Field(description="(spent + lost) rows at that price; null without a price")


class Span(Model):
    """One of the equal parts of the budget: what was asked and answered in it."""

    first: int = Field(ge=0, description="number of its first row in the attack's stream, from 0")
    rows: int = Field(gt=0, description="fewer in the last one, when the attack stopped early")
    class_histogram: list[int] = Field(description="rows by the answer's top class")
    mean_entropy: float = Field(description="mean entropy of an answer, in nats")


class Traffic(Model):
    """What was asked and answered, over every row of the attack (replayed ones too)."""

    rows: int
    class_histogram: list[int] = Field(description="rows by the answer's top class")
    mean_entropy: float = Field(description="mean entropy of an answer, in nats")
    confident: float = Field(description="share of answers whose top probability exceeds 0.9")
    purposes: dict[Purpose, int] = Field(
        default_factory=dict,
        description="rows by what they were bought for; only training teaches a clone directly",
    )
    over_time: list[Span] = Field(
        default_factory=list,
        description="equal spans of the budget in order, without those in which nothing was asked",
    )


class Search(Model):
    """How an attack that searches for each of its images spent its rows; targets are finished."""

    targets: int = Field(ge=0, description="searches that ended, whether they reached or gave up")
    reached: int = Field(ge=0, description="of these, how many met the threshold")
    queries_per_class: list[int] = Field(description="rows bought by the class searched for")
    used_rows: int = Field(ge=0, description="rows that the student is trained on")
    wasted: float = Field(ge=0, le=1, description="1 - used_rows / spent")
    generations: float = Field(ge=0, description="mean generations of a search that ended")


class SpotCheck(Model):
    """Rows that were asked again, to see whether the victim still answers as it did."""

    rows: int = Field(ge=0, description="paid for it, in an account of their own")
    asked: int = Field(ge=0, description="of these, how many were answered and compared")
    changed: int = Field(ge=0, description="of these, how many were answered otherwise than before")
    largest: float = Field(ge=0, le=1, description="largest change of a probability")


class Flag(Model):
    """Something about the audit itself that a reader must know before believing it."""

    code: str
    severity: Literal["info", "warning"]
    message: str


class Control(Model):
    """The same clone recipe without what the victim knows: what did the queries buy?"""

    name: Literal["shuffled_answers", "untrained_student", "true_labels"]
    accuracy: Rate
    agreement: Rate


class Provenance(Model):
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
    ledger_head: str = Field(description="last digest of the ledger's chain: proves what was asked")
    ledger_rows: int
    resumed: int = Field(description="how many times this run was continued")


class Strength(Model):
    """Adversarial examples of one kind and size, made on the clone."""

    method: str = Field(description="fgsm, pgd, mim; noise: the control, signs by chance")
    epsilon: float = Field(gt=0, le=1, description="no pixel in [0, 1] is moved further")
    fooled: Rate = Field(description="the API, which named the clean row rightly, names it wrongly")
    fooled_clone: Rate = Field(description="the clone names the same row wrongly")


class Transfer(Model):
    """Do adversarial examples made on the clone fool the victim? `RUN/transfer.json`."""

    schema_: Literal["clonecost/transfer/1"] = Field(default="clonecost/transfer/1", alias="schema")
    rows: int = Field(description="test rows that the API was asked about as they are")
    right: int = Field(description="of them those that it named rightly; the others show nothing")
    queries: int = Field(description="rows answered, clean ones and noise included")
    lost: int = Field(description="rows paid without an answer")
    seed: int
    found: list[Strength]
    seconds: float
    ledger: str = Field(description="its own, relative to the run folder")
    ledger_head: str
    clone: str = Field(description="sha256 of the clone's file")

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}


class Result(Model):
    schema_: Literal["clonecost/result/1"] = Field(default=SCHEMA, alias="schema")
    victim: VictimCard
    threat: ThreatCard
    attack: AttackCard
    endpoint: EndpointCard | None = Field(default=None, description="null for a local victim")
    defences: list[DefenceCard]
    curve: list[Score] = Field(min_length=1, description="by queries; the last one is the verdict")
    per_class: list[ClassAgreement]
    spent: int = Field(description="rows answered to the attack: the price of this clone")
    lost: int = Field(description="rows sent whose answer never arrived or was unusable; paid too")
    evaluation: int = Field(
        description="rows of the test set, and uniform rows of a table, bought apart from the "
        "undefended victim"
    )
    ended: Literal["finished", "budget_exhausted"]
    majority_agreement: float = Field(
        description="agreement of a clone that always names the victim's commonest class"
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


def json_schema() -> dict[str, Any]:
    return Result.model_json_schema(by_alias=True)


def read_transfer(run: Path) -> Transfer | None:
    """Read `run/transfer.json`; None if adversarial examples were never tried.

    Raises:
        RunError: it is not what this version understands.
    """
    path = run / "transfer.json"
    if not path.is_file():
        return None
    try:
        return Transfer.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(
            f"{path} is not a clonecost/transfer/1 document; make it anew by "
            f"`clonecost transfer {run}`"
        ) from error


def read_result(run: Path) -> Result:
    """Read `run/result.json`.

    Raises:
        RunError: there is none, or it is not what this version understands.
    """
    path = run / "result.json"
    if not path.is_file():
        raise RunError(
            f"{run} has no result.json: the audit did not finish; `clonecost resume {run}` goes on"
        )
    try:
        return Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(f"{path} is not a {SCHEMA} document: {where}: {first['msg']}") from error
