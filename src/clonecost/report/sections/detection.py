"""Would the owner have noticed the attacks, and after how many queries?"""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run
from clonecost.report.model import (
    Block,
    Cell,
    Code,
    Count,
    Grid,
    GridRow,
    Heading,
    Measured,
    Missing,
    Section,
    Strong,
    Words,
    fine,
    quiet,
    text,
)
from clonecost.report.number_format import count, percent
from clonecost.result import Rate
from clonecost.result.detection import Cap, Detection, DetectorFinding, ShortAccount

TITLE = "Would the owner have noticed?"
RULES = (
    "A detector alarms at a threshold that was set on one half of the benign accounts, for the "
    "false-alarm rate over the whole stream of an account, and the other half of the accounts "
    "checks it: an alarm of a detector above its rate decides nothing. An attacker who splits the "
    "queries among many accounts shows less of the attack in each: an alarm here is none for that "
    "attacker. Silence of the detectors tried here is not the silence of every detector."
)


def detection(groups: Sequence[Group]) -> Section:
    watched = [
        (f"{group.label}, seed {run.result.provenance.seed}", run, run.detection)
        for group in groups
        for run in group.runs
        if run.detection is not None
    ]
    if not watched:
        return Section(TITLE, (quiet("No detector was tried. Run ", Code("clonecost detect RUN"),
                                     " on a run, or on your own log of queries."),))  # fmt: skip
    blocks: list[Block] = []
    for name, run, found in watched:
        blocks += _of_run(name, run, found, alone=len(watched) == 1)
    return Section(TITLE, (*blocks, fine(RULES)))


def _of_run(name: str, run: Run, found: Detection, *, alone: bool) -> list[Block]:
    benign = found.benign
    blocks: list[Block] = [] if alone else [Heading(name)]
    blocks += [
        text(Strong(found.verdict)),
        text(
            f"Watched: {count(found.queries, 'query')} of {name}. Benign traffic: {benign.source}, "
            f"{count(benign.rows, 'row')} in {count(benign.accounts, 'account')}. False-alarm rate "
            f"asked for: {percent(found.rate, 1)} of benign accounts."
        ),
        Grid(
            f"Detectors on {name}",
            ("Detector", "First alarm after", "Agreement by then", "False alarms",
             "Accounts found at 1 % false alarms", "AUROC", "Accounts to stay unseen"),
            tuple(_row(one, run) for one in found.detectors),
        ),
    ]  # fmt: skip
    if found.caps:
        blocks.append(
            Grid(
                f"Caps from the curve of {name}",
                ("Chance-corrected agreement", "Queries a day for one account",
                 "It is reached after", "Accounts to reach it in one day"),
                tuple(map(_cap, found.caps)),
            )
        )  # fmt: skip
    return blocks


def _row(one: DetectorFinding, run: Run) -> GridRow:
    if one.why_not is not None:
        return GridRow((Words(one.name), Missing(f"cannot judge this run: {one.why_not}", span=6)))
    return GridRow(
        (
            Words(one.name),
            _alarm(one),
            _agreement(one, run),
            _share(one.false_alarms),
            _found(one.short_accounts),
            Missing("not measured") if one.auroc is None else Words(f"{one.auroc:.2f}"),
            Missing("no split tried is enough")
            if one.accounts_needed is None
            else Count(one.accounts_needed),
        )
    )


def _alarm(one: DetectorFinding) -> Cell:
    note = ""
    if one.set_aside is not None and one.first_alarm is not None:
        note = f"decides nothing, since {one.set_aside}"
    elif one.without is not None and one.without.first_alarm != one.first_alarm:
        first = one.without.first_alarm
        after = "no alarm" if first is None else f"{first:,}"
        note = f"without the users “{one.without.users}”: {after}"
    if one.first_alarm is None:
        return Missing("no alarm", note=note)
    return Count(one.first_alarm, note=note)


def _agreement(one: DetectorFinding, run: Run) -> Cell:
    if one.agreement is None:
        return Missing("before the first milestone")
    at = run.result.spent if one.first_alarm is None else one.milestone
    when = "" if at is None else f"after {count(at, 'query')}"
    return Measured(one.agreement.value, one.agreement.low, one.agreement.high, note=when)


def _share(rate: Rate | None) -> Cell:
    if rate is None:
        return Missing("not checked")
    return Measured(rate.value, rate.low, rate.high)


def _found(accounts: Sequence[ShortAccount]) -> Cell:
    longest = next((one for one in reversed(accounts) if one.found is not None), None)
    if longest is None or longest.found is None:
        return Missing("not measured")
    note = f"accounts of {count(longest.rows, 'row')}"
    return Measured(longest.found.value, longest.found.low, longest.found.high, note=note)


def _cap(cap: Cap) -> GridRow:
    per_day: Cell = Missing("less than one")
    if cap.per_day:
        per_day = Words(f"{cap.per_day:,}", note=f"for an account of {count(cap.days, 'day')}")
    reached: Cell = Missing("not reached within the budget")
    if cap.reached is not None:
        reached = Words(f"{cap.reached:,} queries")
    needed: Cell = Missing("not known")
    if cap.accounts_in_a_day is not None:
        needed = Count(cap.accounts_in_a_day)
    return GridRow((Words(percent(cap.band)), per_day, reached, needed))
