"""`OUT/defences.json`: defences against the attackers that know them, and the price for users."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from clonecost.errors import Advice
from clonecost.result.rates import Measured, Model
from clonecost.result.reading import read_document
from clonecost.result.utility import Latency, Utility

FILE = "defences.json"
NONE, LABEL = "none", "label"  # the first two rows: no defence; no defence, and labels only
NAIVE = "naive"  # the attacker who trains on the answers as they are served


class Difference(Measured):
    """A difference of two shares of the same test rows, with its 95 % interval."""

    how: Literal["paired bootstrap", "difference of intervals"] = Field(
        description="paired bootstrap: over the same test rows (and seeds); difference of "
        "intervals: the two intervals as if they were independent, which is wider"
    )


class Attacker(Model):
    """One attacker against one defence: an attack with or without a countermeasure."""

    counter: str = Field(description="`naive`, or the countermeasure as it is written in a spec")
    why: str = Field(description="why this attacker stands beside this defence, one sentence")
    bound: bool = Field(
        default=False,
        description="true: it uses what no attacker has (a bound, never the worst attacker)",
    )
    runs: list[str] = Field(description="run folders relative to the document, one for each seed")
    seeds: list[int]
    agreement: Measured = Field(
        description="mean over the seeds of the final clone's agreement with the undefended victim"
    )
    corrected_agreement: Measured = Field(description="the same, corrected for chance")
    learnt: bool = Field(description="false: no seed's clone is better than one without input")


class DefenceRow(Model):
    """A defence, what it costs its users, and how well each attacker clones the model behind it."""

    defence: str = Field(description="as it is written in a spec, or `none` or `label`")
    utility: Utility | None = Field(description="null: not measured")
    latency: Latency | None = Field(default=None, description="null: not measured")
    stateful: bool = Field(default=False, description="an answer depends on earlier queries")
    random: bool = Field(default=False, description="a row may get another answer when sent again")
    resume_safe: bool = Field(
        default=True, description="a run that is resumed gets the answers of one without a break"
    )
    attackers: list[Attacker] = Field(min_length=1)
    worst: str = Field(description="the countermeasure of the attacker with the highest agreement")
    gain_over_label: Difference | None = Field(
        description="agreement of the label-only floor minus that of the worst attacker: above 0, "
        "the defence protects more than showing labels only; null for the floor itself"
    )
    gain_over_none: Difference | None = Field(
        description="agreement of the naive attacker without a defence minus that of the worst "
        "attacker; null for that row itself"
    )
    pareto: bool = Field(
        description="no other row is at least as good in all of the worst agreement, the share of "
        "changed top classes and the mean L1 distance, and better in one"
    )

    @model_validator(mode="after")
    def _has_its_worst(self) -> "DefenceRow":
        if self.worst not in {one.counter for one in self.attackers}:
            raise ValueError(f"the worst attacker {self.worst!r} is none of the row's attackers")
        return self

    @property
    def worst_attacker(self) -> Attacker:
        """The attacker by whom the defence is to be judged."""
        return next(one for one in self.attackers if one.counter == self.worst)

    @property
    def more_than_label(self) -> bool | None:
        """Whether it protects more than showing labels only; None for the floor itself."""
        return None if self.gain_over_label is None else self.gain_over_label.low > 0


class DefenceGrid(Model):
    """The grid of defences and attackers, as in `OUT/defences.json`.

    Example:
        >>> grid = read_defence_grid(Path("runs/grid"))  # doctest: +SKIP
        >>> [row.defence for row in grid.rows if row.more_than_label]  # doctest: +SKIP
        []
    """

    schema_: Literal["clonecost/defences/1"] = Field(default="clonecost/defences/1", alias="schema")
    victim: str
    attack: str = Field(description="the attack that every attacker uses, with its profile")
    queries: int = Field(description="the query budget of every attacker, repeats included")
    seeds: list[int]
    test_rows: int
    majority_agreement: float = Field(
        description="agreement of a clone that always predicts the victim's most frequent class"
    )
    rows: list[DefenceRow] = Field(description="`none` and `label` first, then as they were asked")
    asked: list[str] = Field(
        default_factory=list,
        description="the rows that were asked for; those that are not in `rows` have not run yet",
    )

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @property
    def floor(self) -> DefenceRow:
        """The row of the label-only floor: no defence, and labels only."""
        return next(row for row in self.rows if row.defence == LABEL)


def read_defence_grid(folder: Path) -> DefenceGrid | None:
    """Read `folder/defences.json`; None if there is none.

    Raises:
        RunError: the file does not fit this version's schema.
    """
    return read_document(
        folder / FILE, DefenceGrid, Advice("run the grid of defences again with this version")
    )
