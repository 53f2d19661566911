"""The grid of defences: what each takes from the attackers, and what it costs the users."""

from clonecost.report.documents import Material
from clonecost.report.measures import name_of, no_more_than_label
from clonecost.report.model import (
    Block,
    Cell,
    Code,
    Details,
    Grid,
    GridRow,
    Measured,
    Missing,
    Points,
    Section,
    Share,
    Words,
    fine,
    quiet,
    text,
)
from clonecost.report.number_format import count, percent
from clonecost.report.verdict import band_of
from clonecost.result.defence_grid import LABEL, NAIVE, NONE, Attacker, DefenceRow
from clonecost.result.utility import Change, Latency

TITLE = "Defences"
NOT_RUN = "No grid of defences was measured. "
TO_RUN = "clonecost defend VICTIM --defence rounding:decimals=2 --defence noise"
RULES = (
    "Each defence is judged by the attacker that does best against it and knows its kind and "
    "settings. The label-only floor is the clone of an attacker who gets no more than top classes "
    "from the undefended victim: an attacker can throw probabilities away, so a defence whose gain "
    "over this floor is not above 0 within its interval protects no more than labels only. "
    "Agreement is with the undefended victim; what a defence takes from the clone by changing top "
    "classes is bought with that share of wrong answers to users."
)
MARK = "no more than label-only"
PARETO = "no other row is both cheaper for users and stronger"


def defences(material: Material) -> Section:
    grid = material.grid
    if grid is None:
        return Section(TITLE, (quiet(NOT_RUN, "Run ", Code(TO_RUN), "."),))
    intervals = sorted({row.gain_over_label.how for row in grid.rows if row.gain_over_label})
    introduction = text(
        f"Attack {grid.attack}, {count(grid.queries, 'query')} for every attacker, repeats "
        f"included; {count(len(grid.seeds), 'seed')}, {count(grid.test_rows, 'test input')}. "
        f"Majority-class baseline of agreement: {percent(grid.majority_agreement, 1)}."
    )
    strength = Grid(
        "Defences against attackers",
        ("Defence", "Naive attacker", "Strongest attacker", "Its agreement",
         "Gain over the label-only floor", "Verdict on it"),
        tuple(_strength(row) for row in grid.rows),
    )  # fmt: skip
    price = Grid(
        "Price of the defences for users",
        ("Defence", "Top class changed", "Mean L1", "ECE", "AUROC of own errors",
         "AUROC of other inputs", "Added ms per row"),
        tuple(_price(row) for row in grid.rows),
    )  # fmt: skip
    blocks: list[Block] = [introduction, strength, price]
    blocks += [Details(f"All attackers on {name_of(row.defence)}", (_all(row),))
               for row in grid.rows if len(row.attackers) > 1]  # fmt: skip
    blocks.append(fine(RULES, f" Intervals of the gain: {', '.join(intervals)}." * bool(intervals)))
    return Section(TITLE, tuple(blocks))


def _strength(row: DefenceRow) -> GridRow:
    worst = row.worst_attacker
    naive = next((one for one in row.attackers if one.counter == NAIVE), None)
    notes = [MARK] * no_more_than_label(row) + [PARETO] * row.pareto
    if row.defence == NONE:
        notes = []
    cells: tuple[Cell, ...] = (
        Words(name_of(row.defence), note="; ".join(notes)),
        _agreement(naive) if naive else Missing("not run"),
        Words(worst.counter),
        _agreement(worst),
        _gain(row),
        Words(_verdict(worst)),
    )
    return GridRow(cells, marked=row.pareto and not no_more_than_label(row) and row.defence != NONE)


def _agreement(one: Attacker) -> Measured:
    return Measured(one.agreement.value, one.agreement.low, one.agreement.high)


def _gain(row: DefenceRow) -> Cell:
    gain = row.gain_over_label
    if gain is None:
        return Missing("the floor itself" if row.defence == LABEL else "not measured")
    return Points(gain.value, gain.low, gain.high)


def _verdict(worst: Attacker) -> str:
    if not worst.learnt:
        return "no verdict: the attack failed"
    return band_of(worst.corrected_agreement.high).title


def _price(row: DefenceRow) -> GridRow:
    utility, name = row.utility, Words(name_of(row.defence))
    if utility is None:
        reason = "serves the victim's own answers" if row.defence == NONE else "not measured"
        return GridRow((name, Missing(reason, span=6)))
    return GridRow(
        (
            name,
            Measured(utility.flips.value, utility.flips.low, utility.flips.high),
            Words(f"{utility.l1_mean:.3f}", note=f"largest {utility.l1_max:.3f}"),
            _change(utility.ece),
            _change(utility.auroc_errors),
            _change(utility.auroc_outliers),
            _milliseconds(row.latency),
        )
    )


def _change(change: Change | None) -> Cell:
    if change is None:
        return Missing("not known")
    return Words(f"{change.before:.3f} → {change.after:.3f}")


def _milliseconds(found: Latency | None) -> Cell:
    """What the defence adds to a row."""
    if found is None:
        return Missing("not measured")
    return Words(
        f"{found.batch_1.difference:.3g}",
        note=f"{found.batch_128.difference:.3g} in batches of 128",
    )


def _all(row: DefenceRow) -> Grid:
    rows = tuple(
        GridRow(
            (
                Words(one.counter, note="a bound: no attacker has what it uses" * one.bound),
                _agreement(one),
                Share(one.corrected_agreement.value),
                Words(", ".join(map(str, one.seeds))),
                Words(one.why),
            ),
            marked=one.counter == row.worst,
        )
        for one in row.attackers
    )
    columns = ("Attacker", "Agreement", "Chance-corrected", "Seeds", "Why it is here")
    return Grid(f"Attackers on {name_of(row.defence)}", columns, rows, wordy=True)
