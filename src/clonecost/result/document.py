"""`run/result.json`: one audit, and its published schema."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from clonecost.errors import Advice, RunError, RunWorkflow
from clonecost.result.cards import (
    AttackCard,
    Control,
    DefenceCard,
    EndpointCard,
    Flag,
    Price,
    Provenance,
    ThreatCard,
    VictimCard,
)
from clonecost.result.rates import Model
from clonecost.result.reading import read_document
from clonecost.result.score import ClassAgreement, Score
from clonecost.result.traffic import Search, SpotCheck, Traffic

SCHEMA: Literal["clonecost/result/2"] = "clonecost/result/2"


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
    refused: int = Field(
        default=0, description="rows of `spent` that the victim refused for good: no answer, paid"
    )
    evaluation: int = Field(
        description="rows of the test set, and uniform rows of a table, paid apart and answered by "
        "the undefended victim"
    )
    evaluation_characters: int | None = Field(
        default=None, description="characters of the test texts; null: rows are no texts"
    )
    taken_over: int = Field(
        default=0, description="rows of the evaluation whose answers another run of the same panel "
        "or grid paid for: nothing was sent, and they are not in `evaluation`"
    )  # fmt: skip
    ended: Literal["finished", "budget_exhausted", "stopped"] = Field(
        description="stopped: a panel ended the attack at a milestone, and what it would have "
        "reached is not known"
    )
    majority_agreement: float = Field(
        description="majority-class baseline: agreement of a clone that always predicts the "
        "victim's most frequent class"
    )
    price: Price
    traffic: Traffic
    search: Search | None = Field(default=None, description="null for an attack without a search")
    spot_check: SpotCheck | None = Field(default=None, description="null when none was made")
    retrained: Score | None = Field(
        default=None, description="a fresh student, trained by clonecost's own recipe on every row "
        "that the attack bought, without a further query; null when none was trained"
    )  # fmt: skip
    controls: list[Control]
    flags: list[Flag]
    seconds: float
    provenance: Provenance

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True
    )

    @property
    def usd_per_1000_queries(self) -> float | None:
        """The price of 1,000 queries, texts at the mean length of those that were sent."""
        price, characters = self.price, self.traffic.characters or 0
        if price.usd_per_1000 is None and price.usd_per_1000_characters is None:
            return None
        each = characters / max(1, self.traffic.rows)
        return (price.usd_per_1000 or 0.0) + each * (price.usd_per_1000_characters or 0.0)

    @property
    def learnt(self) -> bool:
        """Whether the last clone learnt anything; if not, there is no verdict on the victim."""
        return self.curve[-1].learnt

    @property
    def bound(self) -> bool:
        """Whether its countermeasure used the victim's clean answers, which no attacker has."""
        return self.attack.counter is not None and self.attack.counter.bound

    @property
    def reference(self) -> bool:
        """Whether no attacker behind the API can make this clone: it gives no verdict."""
        return self.bound or self.threat.access == "white-box"


def json_schema() -> dict[str, Any]:
    """The JSON schema of `result.json`."""
    return Result.model_json_schema(by_alias=True)


def read_result(run: Path) -> Result:
    """Read `run/result.json`.

    Raises:
        RunError: the run has no result, or it does not fit this version's schema.
    """
    path = run / "result.json"
    found = read_document(path, Result, Advice("run the audit again with this version"))
    if found is None:
        if inside := sorted(one.parent.name for one in run.glob("*/result.json")):
            raise RunError(
                f"{run} holds several runs, and not the result of one", Advice("give one of them"),
                want=" or ".join(f"{run / name}" for name in inside[:5]),
            )  # fmt: skip
        raise RunError(
            f"{run} has no result.json: the audit did not finish", RunWorkflow("resume", run)
        )
    return found
