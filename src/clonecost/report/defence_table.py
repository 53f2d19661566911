"""The table of a grid of defences: one source for the terminal and for Markdown."""

from clonecost.result.defence_grid import NAIVE, NONE, DefenceGrid, DefenceRow, Difference
from clonecost.result.rates import Measured, percent

HEADER = ("Defence", "Flips", "Mean L1", "ECE", "As served", "Labels", "Worst attacker",
          "Agreement with it", "Gain over labels", "Pareto")  # fmt: skip
NO_MORE = "no more than label-only"


BRIEF = ("Defence", "Flips", "Mean L1", "Worst attacker", "Agreement", "Gain over labels")


def brief_rows(grid: DefenceGrid) -> list[tuple[str, ...]]:
    """As `table_rows` for a terminal of 80 columns; `BRIEF` names the columns."""
    return [
        (row[0], row[1], row[2], row[6], row[7], row[8].partition(":")[0])
        for row in table_rows(grid)
    ]


def table_rows(grid: DefenceGrid) -> list[tuple[str, ...]]:
    """The cells of the table in words, in the order of the grid; `HEADER` names them."""
    return [_row(row) for row in grid.rows]


def _row(row: DefenceRow) -> tuple[str, ...]:
    price = row.utility
    ece = price.ece if price else None
    return (
        row.defence,
        percent(price.flips.value) if price else "not known",
        f"{price.l1_mean:.3f}" if price else "not known",
        f"{ece.before:.3f} to {ece.after:.3f}" if ece else "not known",
        _of(row, NAIVE),
        _of(row, "label_only"),
        row.worst,
        _words(row.worst_attacker.agreement),
        gain_words(row.gain_over_label, defended=row.defence != NONE),
        "yes" if row.pareto else "",
    )


def _of(row: DefenceRow, counter: str) -> str:
    found = [one for one in row.attackers if one.counter == counter]
    return percent(found[0].agreement.value) if found else ""


def _words(one: Measured) -> str:
    return f"{100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def gain_words(gain: Difference | None, *, defended: bool = True) -> str:
    """The gain over the label-only floor in percentage points, with what it means.

    Args:
        defended: whether there is a defence, which can protect no more than labels.

    Example:
        >>> gain_words(Difference(value=0.01, low=-0.01, high=0.03, how="paired bootstrap"))
        '1.0 points (-1.0 to 3.0): no more than label-only'
    """
    if gain is None:
        return "the floor"
    words = f"{100 * gain.value:.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    return words if gain.low > 0 or not defended else f"{words}: {NO_MORE}"


def summary(grid: DefenceGrid) -> list[str]:
    """What the grid says, in sentences."""
    floor = grid.floor.worst_attacker.agreement
    good = [f"{row.defence}{_changes(row)}" for row in grid.rows if row.more_than_label]
    left = len(grid.asked) - len(grid.rows)
    found = [
        f"An API that shows labels only is cloned to {percent(floor.value)} agreement with "
        f"{grid.queries:,} queries ({grid.attack}, {len(grid.seeds)} seed(s)).",
        f"More protection than that: {', '.join(good)}." if good else
        "No defence here protects more than showing labels only, within its interval.",
    ]  # fmt: skip
    if not grid.rows[0].worst_attacker.learnt:
        found.append(
            "No verdict: the attack learnt nothing even without a defence; give it a larger budget."
        )
    weak = [row.defence for row in grid.rows[2:] if not row.more_than_label]
    if weak:
        found.append(f"Protects {NO_MORE}: {', '.join(weak)}.")
    priced = [row.defence for row in grid.rows if row.pareto]
    found.append(
        f"Not beaten in agreement, changed top classes and L1 distance at once: "
        f"{', '.join(priced)}."
    )
    bounds = [f"{row.defence} by {one.counter}" for row in grid.rows for one in row.attackers
              if one.bound]  # fmt: skip
    if bounds:
        found.append(f"A bound that uses clean answers, and no attack: {', '.join(bounds)}.")
    if left > 0:
        found.append(f"{left} of {len(grid.asked)} defences have not run yet.")
    return found


def _changes(row: DefenceRow) -> str:
    """What the protection costs, since a defence that answers wrongly protects best."""
    price = row.utility
    return f" (changes {percent(price.flips.value)} of the top classes)" if price else ""


def as_markdown(grid: DefenceGrid) -> str:
    """The sentences and the table as GitHub-flavoured Markdown."""
    lines = [f"# Defences of {grid.victim}", "", *(f"{one}\n" for one in summary(grid))]
    lines.append(f"| {' | '.join(HEADER)} |")
    lines.append(f"|{'---|' * len(HEADER)}")
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in
              table_rows(grid)]  # fmt: skip
    return "\n".join(lines) + "\n"
