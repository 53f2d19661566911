"""The panel: its headline, a line for each attack, and agreement against what it costs."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.charts import QueryCurves, Series
from clonecost.report.documents import Material
from clonecost.report.model import (
    Badge,
    Bullets,
    Card,
    Cell,
    Chart,
    Charts,
    Count,
    Grid,
    GridRow,
    Missing,
    Money,
    Section,
    Words,
    fine,
)
from clonecost.report.number_format import count, duration, usd
from clonecost.report.panel import (
    cheapest,
    ended_words,
    entry_of,
    envelope,
    fingerprint_lines,
    measure_lines,
    panel_headline,
)
from clonecost.report.sections.quality import measured
from clonecost.report.verdict import verdict
from clonecost.result import PanelDocument, PanelEntry

TITLE = "The cheapest clone"
CHOICE = (
    "The cheapest clone is chosen by the test rows among all scored clones: the first that "
    "reached the highest level of chance-corrected agreement (50, 75, 90, 95 and 99 %). Its "
    "interval therefore holds for all of them at once (Bonferroni), and is wider than the "
    "intervals of the single attacks below."
)
CENSORED = (
    "An attack that was stopped, not run, or that failed is no evidence of safety: what it would "
    "have reached is not known."
)


def panel(material: Material) -> Section | None:
    """The section of a panel; None for runs without one."""
    document, groups = material.panel, material.groups
    if document is None:
        return None
    found = cheapest(groups)
    judged = verdict(found.group) if found else None
    badge = Badge(judged.title, judged.band) if judged else Badge("No clone", "failed")
    spent = f"{count(document.spent, 'query')} in all"
    if document.usd_per_1000 is not None:
        spent += f" ({usd(document.spent * document.usd_per_1000 / 1000)}, evaluation apart)"
    card = Card(
        label=f"Panel, {document.level}", badge=badge, sentence=panel_headline(groups, document),
        notes=f"{count(len(document.entries), 'attack')}, {spent}, {_limits(document)}; "
        f"{duration(document.seconds)}.",
    )  # fmt: skip
    lines = [
        *fingerprint_lines(document.fingerprint), *measure_lines(material.all_groups, document)
    ]  # fmt: skip
    after = [Bullets(tuple((line,) for line in lines))] if lines else []
    watched = document.watch
    rule = (
        f"Stop rule. {document.rule} Watch rows: {watched.words}, bought by the panel on an "
        "account of their own."
        if watched.rows
        else "Stop rule: none, because the budget is too small for watch rows."
    )
    return Section(
        TITLE,
        (card, _grid(groups, document), _charts(groups), *after, fine(CHOICE), fine(CENSORED),
         fine(rule)),
    )  # fmt: skip


def _limits(document: PanelDocument) -> str:
    limits = document.limits
    words = [f"limits: {count(limits.budget, 'query')}"]
    words += [f"{limits.minutes:g} minutes"] if limits.minutes is not None else []
    words += [usd(limits.max_usd)] if limits.max_usd is not None else []
    return ", ".join(words)


def _grid(groups: Sequence[Group], document: PanelDocument) -> Grid:
    priced = document.usd_per_1000 is not None
    columns = ("Attack", "The attacker owns", "Queries", *(("Price",) if priced else ()),
               "Agreement", "Chance-corrected agreement", "Verdict", "End")  # fmt: skip
    of_entry = {entry.name: group for group in groups if (entry := entry_of(group, document))}
    rows = []
    for entry in document.entries:
        group = of_entry.get(entry.name)
        if group is not None:
            rows.append(GridRow(_cells(entry, group, priced=priced)))
        elif not _is_other_seed(entry, groups):
            reason = Missing(ended_words(entry), span=len(columns) - 2)
            rows.append(GridRow((Words(entry.name), Words(entry.owns), reason)))
    return Grid("Attacks of the panel", columns, tuple(rows), wordy=True)


def _cells(entry: PanelEntry, group: Group, *, priced: bool) -> tuple[Cell, ...]:
    price = group.cost_of(group.spent)
    money: tuple[Cell, ...] = (Money(price or 0.0),) if priced else ()
    return (
        Words(group.label), Words(entry.owns), Count(group.spent), *money,
        measured(group.final.agreement), measured(group.final.corrected),
        Words(verdict(group).title), Words(ended_words(entry)),
    )  # fmt: skip


def _is_other_seed(entry: PanelEntry, groups: Sequence[Group]) -> bool:
    """Whether the entry's run stands in the line of another seed."""
    return any(run.name == entry.run for group in groups for run in group.runs)


def _charts(groups: Sequence[Group]) -> Charts:
    unit = groups[0].first.usd_per_1000_queries
    series = tuple(
        Series(
            tuple(point.queries for point in group.points),
            tuple(point.agreement for point in group.points),
            dashed=group.reference,
        )
        for group in groups
    )
    what = "queries" if not unit else "money"
    best = envelope(groups)
    text = f"{count(len(best), 'step')} of the best clone for its price"
    chart = Chart(
        name="panel", title=f"Agreement against {what}", text=text,
        drawing=QueryCurves(
            series, (), "clone's agreement", envelope=tuple(best),
            usd_per_query=unit / 1000 if unit else None,
        ),
    )  # fmt: skip
    caption = "The bold line is the best agreement of any attack for at most this price."
    return Charts((chart,), caption, tuple(group.label for group in groups))
