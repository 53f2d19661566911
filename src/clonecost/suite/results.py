"""The results of a suite as data: `results.json`, of which every page is a pure function.

A number is copied or averaged from the `result.json` of a finished run; a paper's number has a
field of its own. A cell without a run has the reason.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from clonecost.errors import Advice, RunError
from clonecost.report.aggregate import Estimate, estimate, points_of
from clonecost.result import Measured, Model, Rate, Result, Score
from clonecost.suite.definition import Agreement

SCHEMA: Literal["clonecost/suite/1"] = "clonecost/suite/1"
MIN_SEEDS = 3  # fewer seeds give no interval


class Interval(Model):
    """A mean over seeds, from 0 to 1, with its 95 % interval."""

    mean: float = Field(ge=0, le=1)
    low: float | None = Field(description="of the 95 % interval over seeds; null below 3 seeds")
    high: float | None


class Spread(Interval):
    """A share, of each seed and over the seeds."""

    values: list[float] = Field(description="one per seed, in the order of the runs")


class Corrected(Model):
    """A chance-corrected share, of each seed and over the seeds; below 0 is worse than chance."""

    mean: float = Field(le=1)
    low: float | None = Field(description="of the 95 % interval over seeds; null below 3 seeds")
    high: float | None
    values: list[float] = Field(description="one per seed, in the order of the runs")


class Amount(Model):
    """A number without an interval, of each seed and over the seeds."""

    mean: float
    values: list[float] = Field(description="one per seed, in the order of the runs")


class Milestone(Model):
    """The clone's scores after `queries` rows, over the seeds."""

    queries: int
    accuracy: Interval | None = Field(description="null if the test set has no labels")
    agreement: Interval


class Paper(Model):
    """A number that a paper published and that was not measured here."""

    accuracy: float = Field(ge=0, le=100, description="percent, as printed")
    plus_minus: float | None
    source: str


class RunCard(Model):
    """The run that one seed's numbers come from."""

    seed: int
    spent: int
    lost: int
    seconds: float
    accuracy: Rate | None = Field(description="null if the test set has no labels")
    agreement: Rate
    victim_weights: str | None
    warnings: list[str] = Field(description="codes of the audit's own warnings")
    version: str
    revision: str | None
    created: str
    device: str
    threads: int
    python: str
    torch: str
    platform: str
    ledger_head: str
    ledger_rows: int
    resumed: int


class Retrained(Model):
    """Fresh clones, each trained by the shared recipe on all rows that one seed's attack bought."""

    accuracy: Spread | None = Field(description="null without labels")
    agreement: Spread


class CellCard(Model):
    """One cell: its numbers over the seeds and their runs, or the reason why there is no run."""

    column: str
    row: str
    seeds: list[int] = Field(description="of the finished runs")
    accuracy: Spread | None = Field(description="null without runs or without labels")
    agreement: Spread | None
    corrected: Corrected | None = Field(
        default=None, description="chance-corrected agreement; null of runs before it was kept"
    )
    balanced: Spread | None = Field(
        default=None, description="balanced agreement; null of runs before it was kept"
    )
    retrained: Retrained | None = Field(
        default=None, description="null where the suite does not ask for it, or no row was bought"
    )
    queries: Amount | None = Field(description="rows answered to the attack")
    iterations: int | None = Field(
        default=None, description="of the first seed's attack; null: it does not work in iterations"
    )
    seconds: Amount | None
    victim_accuracy: Rate | None
    spec: dict[str, JsonValue] | None = Field(description="keys of the spec, without the seed")
    settings: dict[str, JsonValue] | None = Field(description="all of the attack's, from its run")
    curve: list[Milestone]
    runs: list[RunCard]
    not_run: str | None = Field(description="why there is no run, or none of some seeds")
    paper: Paper | None

    @model_validator(mode="after")
    def _numbers_have_runs(self) -> Self:
        numbers = (self.agreement, self.queries, self.seconds)
        of_labels = (self.accuracy, self.victim_accuracy)  # with labels and runs only
        if any((number is None) != (not self.runs) for number in numbers) or (
            any(of_labels) and not self.runs
        ):
            raise ValueError("a cell has numbers if, and only if, it has runs")
        if self.seeds != [run.seed for run in self.runs]:
            raise ValueError("the seeds are not those of the runs")
        return self


class ColumnCard(Model):
    """One column: a victim, as the first run of the column has it."""

    name: str
    title: str
    victim: str | None = Field(description="the victim's name, from the first run")
    accuracy: Rate | None = Field(description="the victim's accuracy on the test rows")
    test_set: str | None
    test_rows: int | None
    weights: str | None
    majority: float | None = Field(description="majority-class baseline of the agreement")


class RowCard(Model):
    """One row: an attack, a reference, or the victim itself (`teacher`)."""

    name: str
    title: str
    ours: bool
    white_box: bool
    teacher: bool
    columns: list[str] | None = Field(
        default=None, description="columns in which the row has cells; null: all"
    )

    def has_cell(self, column: str) -> bool:
        """Whether the row has a cell in that column."""
        return self.columns is None or column in self.columns


class SuiteResults(Model):
    """The whole document `results.json`."""

    schema_: Literal["clonecost/suite/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    title: str
    note: str
    scale: str
    scale_title: str
    scale_note: str
    agreement: list[Agreement] = Field(
        default=["plain"], description="the agreements that the tables show"
    )
    columns: list[ColumnCard]
    rows: list[RowCard]
    cells: list[CellCard] = Field(description="row by row, every column of each")
    warnings: list[str] = Field(description="reasons why rows cannot be compared exactly")

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        expected = [
            (row.name, column.name)
            for row in self.rows
            for column in self.columns
            if row.has_cell(column.name)
        ]
        if [(cell.row, cell.column) for cell in self.cells] != expected:
            raise ValueError("the cells are not every column of every row, in that order")
        return self

    def cell(self, row: str, column: str) -> CellCard:
        """The cell of a row in a column, both by name.

        Raises:
            StopIteration: there is no such cell.
        """
        return next(cell for cell in self.cells if (cell.row, cell.column) == (row, column))

    def rows_of(self, column: str) -> list[RowCard]:
        """The rows that have a cell in that column."""
        return [row for row in self.rows if row.has_cell(column)]


def read_results(path: Path) -> SuiteResults:
    """Read a results file.

    Raises:
        RunError: the file cannot be read, or does not fit this version's schema.
    """
    try:
        return SuiteResults.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(
            f"{path} cannot be read: {error.strerror}", Advice("give a results file, FILE.json")
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        reason = first["msg"].removeprefix("Value error, ")
        raise RunError(
            f"{path} is not a {SCHEMA} document: {where}: {reason}",
            Advice("render the suite again with this version"),
        ) from error


def as_text(results: SuiteResults) -> str:
    """The text of results.json."""
    return results.model_dump_json(indent=2) + "\n"


def make_cell(
    column: str, row: str, results: Sequence[Result], *, spec: dict[str, JsonValue] | None,
    not_run: str | None, paper: Paper | None,
) -> CellCard:  # fmt: skip
    """The cell of one audit from its finished runs, one per seed; without runs, without numbers.

    Each seed is scored by its last clone: no clone is selected on test data.
    """
    last = [result.curve[-1] for result in results]
    first = results[0] if results else None
    return CellCard(
        column=column, row=row, spec=spec, not_run=not_run, paper=paper,
        seeds=[result.provenance.seed for result in results],
        accuracy=_spread([score.accuracy for score in last]),
        agreement=_spread([score.agreement for score in last]),
        corrected=_corrected([score.corrected_agreement for score in last]),
        balanced=_spread([score.balanced_agreement for score in last]),
        retrained=_retrained([result.retrained for result in results]),
        queries=_amount([result.spent for result in results]),
        iterations=_iterations(first) if first else None,
        seconds=_amount([result.seconds for result in results]),
        victim_accuracy=first.victim.accuracy if first else None,
        settings=first.attack.settings if first else None,
        curve=_milestones(results),
        runs=[_run_card(result) for result in results],
    )  # fmt: skip


def make_column(name: str, title: str, results: Sequence[Result]) -> ColumnCard:
    """The column of a victim from its runs; the victim's numbers come from the first run."""
    first = results[0] if results else None
    victim = first.victim if first else None
    return ColumnCard(
        name=name, title=title,
        victim=victim.name if victim else None,
        accuracy=victim.accuracy if victim else None,
        test_set=victim.test_set if victim else None,
        test_rows=victim.test_rows if victim else None,
        weights=victim.weights if victim else None,
        majority=first.majority_agreement if first else None,
    )  # fmt: skip


def _spread(rates: Sequence[Rate | None]) -> Spread | None:
    known = [rate for rate in rates if rate is not None]
    if not known or len(known) < len(rates):
        return None
    found = _interval(estimate(known), len(known))
    return Spread(**found.model_dump(), values=[rate.value for rate in known])


def _iterations(result: Result) -> int | None:
    cost = result.attack.queries_per_iteration
    return result.spent // cost if cost else None


def _retrained(scores: Sequence[Score | None]) -> Retrained | None:
    known = [score for score in scores if score is not None]
    agreement = _spread([score.agreement for score in known])
    if agreement is None or len(known) < len(scores):
        return None
    return Retrained(accuracy=_spread([score.accuracy for score in known]), agreement=agreement)


def _corrected(rates: Sequence[Measured]) -> Corrected | None:
    if not rates:
        return None
    found, enough = estimate(rates), len(rates) >= MIN_SEEDS
    return Corrected(
        mean=found.value, low=found.low if enough else None, high=found.high if enough else None,
        values=[rate.value for rate in rates],
    )  # fmt: skip


def _interval(over_seeds: Estimate, seeds: int) -> Interval:
    enough = seeds >= MIN_SEEDS
    return Interval(
        mean=over_seeds.value,
        low=over_seeds.low if enough else None,
        high=over_seeds.high if enough else None,
    )


def _amount(values: Sequence[float]) -> Amount | None:
    return Amount(mean=fmean(values), values=list(values)) if values else None


def _milestones(results: Sequence[Result]) -> list[Milestone]:
    if not results:
        return []
    return [
        Milestone(
            queries=point.queries,
            accuracy=_interval(point.accuracy, len(results)) if point.accuracy else None,
            agreement=_interval(point.agreement, len(results)),
        )
        for point in points_of([result.curve for result in results])
    ]


def _run_card(result: Result) -> RunCard:
    last, origin = result.curve[-1], result.provenance
    # without the command, which may name folders of the user's machine
    return RunCard(
        spent=result.spent, lost=result.lost, seconds=result.seconds, accuracy=last.accuracy,
        agreement=last.agreement, victim_weights=result.victim.weights,
        warnings=[flag.code for flag in result.flags if flag.severity == "warning"],
        **origin.model_dump(exclude={"command", "threads_why"}),
    )  # fmt: skip
