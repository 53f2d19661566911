"""`clonecost detect LOG.jsonl --json`: the principals of an API's own log, by suspicion."""

from typing import Literal

from pydantic import Field

from clonecost.result.rates import Model


class Usage(Model):
    """Rows a day of the principals, each on its busiest day: what a cap would cost them."""

    median: int
    most_95: int = Field(description="95 % of the principals ask at most so many")
    most_99: int


class Principal(Model):
    """One principal of the log."""

    name: str
    rows: int
    busiest_day: int = Field(description="rows on the day with most of them, in UTC")
    suspicion: float | None = Field(
        description="the largest of its scores, in robust standard deviations above the median of "
        "the principals that it is compared with; null: no detector has a verdict"
    )
    by: str = Field(description="the detector of that score; empty without one")
    scores: dict[str, float | None] = Field(description="of each detector; null: no verdict")
    alarms: list[str] = Field(description="detectors above their threshold; none without benign")


class LogRanking(Model):
    """The principals of a log, the most suspicious first."""

    schema_: Literal["clonecost/log-ranking/1"] = Field(
        default="clonecost/log-ranking/1", alias="schema"
    )
    log: str
    rows: int
    first: str = Field(description="time of the first row, UTC")
    last: str
    compared_with: str = Field(description="whose rows are taken as honest, in words")
    rate: float | None = Field(
        description="false-alarm rate of the alarms over a principal's stream; null: no honest "
        "traffic was given, so that there is a ranking and no alarm"
    )
    not_used: dict[str, str] = Field(description="detectors that cannot judge this log, and why")
    usage: Usage
    principals: list[Principal]

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}
