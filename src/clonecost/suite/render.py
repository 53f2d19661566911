"""A table as Markdown and as one self-contained HTML page: pure functions of the results."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from clonecost.report import charts
from clonecost.report.aggregate import Estimate, Point
from clonecost.report.html import unbroken
from clonecost.report.markdown import markdown_table
from clonecost.report.wording import count, duration, percent, percent_range
from clonecost.suite.results import LEAST, CellCard, ColumnCard, Interval, RowCard, Table

SIDE_BY_SIDE = 5  # columns; more are a table each
RULES = (
    "Accuracy: the clone names the true class; agreement: it names the victim’s own top class. "
    f"Both are means over seeds, with Student’s 95 % interval from {LEAST} seeds on; fewer have "
    "none. White box: a reference that reads the network itself, not an attack through the API. "
    "Queries: rows answered to the attack, for one clone. Paper: the figure that was published; "
    "nobody measured it here, and papers do not print their queries."
)


@dataclass(frozen=True)
class Curve:
    """A row of the table, as a line of the figure."""

    label: str
    points: tuple[Point, ...]
    majority: float
    victim_accuracy: float
    white_box: bool

    @property
    def final(self) -> Point:
        return self.points[-1]


def markdown(table: Table) -> str:
    """A Markdown table for every column of the suite."""
    scale = f"Scale {table.scale}: {table.scale_title}. {table.scale_note}"
    sections = [[f"# {table.title}"], [scale]]
    if table.note:
        sections.append([table.note])
    sections += [[f"**Warning.** {warning}"] for warning in table.warnings]
    header = ["row", "accuracy", "agreement", "queries", "time for one", "the paper’s accuracy"]
    shown = len(header) if sources(table) else len(header) - 1
    for column in table.columns:
        rows = [_words(table, row, column)[:shown] for row in table.rows_of(column.name)]
        sections += [[f"## {column.title}"], markdown_table(header[:shown], rows)]
        if victim := victim_words(column):
            sections.append([victim])
    sections.append([RULES])
    sections += [[f"The paper’s figures: {source}"] for source in sources(table)]
    if machines(table):
        sections.append(["Measured on " + "; ".join(machines(table)) + "."])
    return "\n\n".join("\n".join(lines).strip() for lines in sections) + "\n"


def html(table: Table) -> str:
    """The page: no script, no network, light and dark; the same results give the same bytes."""
    return _environment().get_template("suite.html.j2").render(
        table=table, grids=_grids(table), pictures=_pictures(table), RULES=RULES
    )  # fmt: skip


# -- words that both share -----------------------------------------------------------------------


def interval_words(found: Interval) -> str:
    """ "81.9 to 82.5 %"; nothing when there are too few seeds."""
    if found.low is None or found.high is None:
        return ""
    return percent_range(found.low, found.high, 1)


def seeds_words(cell: CellCard) -> str:
    """Too few seeds for an interval, and what is missing."""
    few = count(len(cell.seeds), "seed") if len(cell.seeds) < LEAST else ""
    rest = f"not run: {cell.not_run}" if cell.not_run else ""
    return "; ".join(part for part in (few, rest) if part)


def paper_words(cell: CellCard) -> str:
    if cell.paper is None:
        return "–"
    spread = "" if cell.paper.plus_minus is None else f" ± {cell.paper.plus_minus:g}"
    return f"{cell.paper.accuracy:.1f}{spread} %"


def missing_words(cell: CellCard) -> str:
    return f"not run: {cell.not_run}"


def row_marks(row: RowCard) -> str:
    marks = [("ours", row.ours), ("white box", row.white_box)]
    return ", ".join(words for words, holds in marks if holds)


def queries_words(cell: CellCard) -> str:
    """The mean over seeds; lost rows are paid, too, and stand beside it."""
    lost = sum(run.lost for run in cell.runs)
    more = f" + {lost:,} lost in all" if lost else ""
    return f"{cell.queries.mean:,.0f}{more}" if cell.queries else "–"


def victim_words(column: ColumnCard) -> str:
    if column.accuracy is None or column.majority is None or column.test_rows is None:
        return ""
    return (
        f"The victim, {column.victim}, names the true class of {percent(column.accuracy.value, 1)} "
        f"of {column.test_rows:,} test rows ({column.test_set}; 95 % interval "
        f"{percent_range(column.accuracy.low, column.accuracy.high, 1)}). A clone that always "
        f"names its commonest class would agree on {percent(column.majority, 1)}."
    )


def sources(table: Table) -> list[str]:
    return list(dict.fromkeys(cell.paper.source for cell in table.cells if cell.paper))


def machines(table: Table) -> list[str]:
    """Where the runs ran, each place once: times compare within one."""
    return list(
        dict.fromkeys(
            f"{run.platform}, {run.device}, {count(run.threads, 'thread')}, PyTorch {run.torch}"
            for cell in table.cells
            for run in cell.runs
        )
    )


def _words(table: Table, row: RowCard, column: ColumnCard) -> list[str]:
    cell = table.cell(row.name, column.name)
    marks = row_marks(row)
    name = row.title + (f" ({marks})" if marks else "")
    if row.teacher:
        rate = column.accuracy
        shown = (
            f"{percent(rate.value, 1)} ({percent_range(rate.low, rate.high, 1)})" if rate else ""
        )
        return [name, shown or missing_words(cell), "–", "–", "–", paper_words(cell)]
    if cell.queries is None or cell.seconds is None:
        return [name, missing_words(cell), "–", "–", "–", paper_words(cell)]
    return [
        name,
        _measured(cell.accuracy) + (f"; {seeds_words(cell)}" if seeds_words(cell) else ""),
        _measured(cell.agreement),
        queries_words(cell),
        duration(cell.seconds.mean),
        paper_words(cell),
    ]


def _measured(found: Interval | None) -> str:
    if found is None:
        return "–"
    words = interval_words(found)
    return percent(found.mean, 1) + (f" ({words})" if words else "")


# -- the page ------------------------------------------------------------------------------------


def _pictures(table: Table) -> list[tuple[str, list[str], Markup]]:
    """(caption, labels, drawing) for every column that has runs."""
    found = []
    for number, column in enumerate(table.columns):
        curves = list(_curves(table, column))
        if not curves:
            continue
        ends = "; ".join(f"{c.label}: {percent(c.final.accuracy.value)}" for c in curves)
        drawing = charts.curve(
            curves, "accuracy", name=f"column{number}",
            title=f"{column.title}: accuracy of the clone against queries",
            text=f"At the end, {ends}.",
        )  # fmt: skip
        found.append((column.title, [c.label for c in curves], drawing))
    return found


def _grids(table: Table) -> list[tuple[list[RowCard], list[ColumnCard]]]:
    """(rows, columns) of what stands side by side: all, if they are few."""
    if len(table.columns) <= SIDE_BY_SIDE:
        return [(table.rows, table.columns)]
    return [(table.rows_of(column.name), [column]) for column in table.columns]


def _curves(table: Table, column: ColumnCard) -> Iterable[Curve]:
    for row in table.rows_of(column.name):
        cell = table.cell(row.name, column.name)
        if cell.curve and cell.victim_accuracy:
            yield Curve(
                label=row.title, majority=column.majority or 0, white_box=row.white_box,
                victim_accuracy=cell.victim_accuracy.value,
                points=tuple(
                    Point(m.queries, _estimate(m.agreement), _estimate(m.accuracy), 0, 0)
                    for m in cell.curve
                ),
            )  # fmt: skip


def _estimate(found: Interval) -> Estimate:
    """Without an interval: a line without a band."""
    low = found.mean if found.low is None else found.low
    high = found.mean if found.high is None else found.high
    return Estimate(found.mean, low, high)


def _environment() -> Any:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("clonecost.suite", "."), PackageLoader("clonecost.report", ".")]
        ),
        autoescape=True,  # titles come from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        unbroken=unbroken, percent=percent, duration=duration, number="{:,}".format
    )
    environment.globals.update(
        interval_words=interval_words, seeds_words=seeds_words, paper_words=paper_words,
        missing_words=missing_words, row_marks=row_marks, queries_words=queries_words,
        victim_words=victim_words, sources=sources, machines=machines, swatch=charts.swatch,
        percent_range=percent_range,
    )  # fmt: skip
    return environment
