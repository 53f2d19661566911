"""What was audited, how, by whom and at what price: the facts of a run beside its scores."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, field_validator

from clonecost.result.rates import Corrected, Model, Rate
from clonecost.types import Access, AnswerKind, InputPrecision


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
    multi_label: bool = Field(
        default=False,
        description="several labels a row: num_classes is 2 L, the labels as present and as absent",
    )
    text: bool = Field(default=False, description="rows are texts; input_shape is their most bytes")


class CounterCard(Model):
    """What the attacker did about the defences, which they knew except for their keys."""

    name: str
    settings: dict[str, JsonValue]
    repeats: int = Field(description="queries that each of the attack's own rows cost")
    bound: bool = Field(
        default=False,
        description="true: it used clean answers, which no attacker has; a bound, not an attack",
    )


class AttackCard(Model):
    """The attack with its settings, its countermeasure, its student and its proxy data."""

    name: str
    settings: dict[str, JsonValue] = Field(description="every hyper-parameter of the attack")
    student: str
    proxy: str | None
    counter: CounterCard | None = Field(
        default=None, description="null: the attack took the answers as they were served"
    )
    queries_per_iteration: int = Field(
        default=0, description="that one iteration costs; 0: the attack does not work in iterations"
    )


class DefenceCard(Model):
    """A defence with its settings."""

    name: str
    settings: dict[str, JsonValue]


class Price(Model):
    """The price of the clone: all paid rows, and the characters of texts, at their prices."""

    usd_per_1000: float | None
    usd_per_1000_characters: float | None = Field(
        default=None, description="for texts, beside the price of a query"
    )
    usd: float | None = Field(
        description="(spent + lost) rows and the answered characters at these prices; null without"
    )


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
    threads_why: str = Field(default="", description="the reason for their number")
    python: str
    torch: str
    platform: str
    ledger_head: str = Field(description="last digest of the ledger's chain, over all its rows")
    ledger_rows: int
    resumed: int = Field(description="how many times this run was resumed")
