"""What an attack sent and what came back, in numbers."""

from pydantic import Field

from clonecost.result.rates import Model
from clonecost.types import Purpose


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
    characters: int | None = Field(
        default=None, description="characters of the answered texts; null: rows are no texts"
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
