"""The command `detect`: would the owner have noticed the attack of a run?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from clonecost.cli.audit import app
from clonecost.cli.errors import in_run, sentences
from clonecost.cli.list import names
from clonecost.cli.options import AsJson, Seed
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out

if TYPE_CHECKING:
    from clonecost.result.detection import Detection, DetectorFinding
    from clonecost.result.rates import Rate


@app.command()
def detect(
    target: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    benign: Annotated[
        Path | None,
        typer.Option("--benign", metavar="RUN2", help="Honest traffic to calibrate with: another "
                     "run, whose paid rows are taken as honest. [default: the test set]"),
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option("--detector", metavar="NAME", autocompletion=names("detectors"),
                     help="A name in `clonecost list detectors`; several may be given. "
                     "[default: all]"),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", metavar="SHARE", help="False-alarm rate over the whole "
                            "stream of an account.")
    ] = 0.01,
    accounts: Annotated[
        int, typer.Option("--accounts", metavar="N", help="Benign accounts: one half calibrates, "
                          "the other half checks.")
    ] = 400,
    users: Annotated[
        list[str] | None,
        typer.Option("--users", metavar="KIND", help="A kind of honest users: shuffled, skewed, "
                     "video, corrupted, asking_again; several may be given. [default: all]"),
    ] = None,
    account_rows: Annotated[
        int | None,
        typer.Option("--account-rows", metavar="ROWS", help="Rows of each benign account. "
                     "[default: as many as the rows allow, at most 2,000]"),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", metavar="DAYS", help="Days for which an account is used, for "
                          "the daily cap.")
    ] = 30,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Try detectors on the rows of a run: alarm, clone by then, accounts to stay unseen, cap."""
    with sentences(place=in_run(target, "seed")):
        from clonecost.workflows.detect import detect as watch

        with Display(quiet=as_json) as display:
            found = watch(
                target, benign=benign, detectors=detector or (), rate=rate, accounts=accounts,
                users=users or (), account_rows=account_rows, days=days, seed=seed,
                progress=display.step,
            )  # fmt: skip
        if as_json:
            write_out(found.model_dump_json(indent=2) + "\n")
            return
        write_out(f"{found.verdict}\n\n")
        terminal = Terminal(highlight=False)
        terminal.print(_alarms(found))
        if (short := _short_accounts(found)) is not None:
            write_out("\n")
            terminal.print(short)
        write_out("\n" + "".join(f"{line}\n" for line in _lines(found)))
        write_out(f"wrote {target / 'detection.json'}\n")


def _alarms(found: "Detection") -> Table:
    table = _grid("detector", "false alarms", "first alarm", "clone by then", "AUROC",
                  "accounts to stay unseen")  # fmt: skip
    for one in found.detectors:
        if one.why_not:
            table.add_row(one.name, *"-----")
            continue
        table.add_row(
            one.name, _share(one.false_alarms), _rows(one.first_alarm, "none"), _by_then(one),
            "-" if one.auroc is None else f"{one.auroc:.2f}", _rows(one.accounts_needed, "none"),
        )  # fmt: skip
    return table


def _short_accounts(found: "Detection") -> Table | None:
    """The share of short attack accounts that each detector finds."""
    judged = [one for one in found.detectors if one.short_accounts]
    if not judged:
        return None
    lengths = [f"{account.rows:,} rows" for account in judged[0].short_accounts]
    table = _grid("accounts found at 1 %", *lengths)
    for one in judged:
        table.add_row(one.name, *(_share(account.found) for account in one.short_accounts))
    return table


def _grid(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right")
    return table


def _by_then(one: "DetectorFinding") -> str:
    if one.agreement is None:
        return "not scored yet"
    return f"{_share(one.agreement)} ({one.milestone:,})"


def _rows(rows: int | None, without: str) -> str:
    return without if rows is None else f"{rows:,}"


def _share(rate: "Rate | None") -> str:
    return "-" if rate is None else f"{100 * rate.value:.1f} %"


def _lines(found: "Detection") -> list[str]:
    """What the table does not hold, one sentence each."""
    benign = found.benign
    lines = [
        f"Calibrated on {benign.accounts:,} accounts of {benign.account_rows:,} rows from "
        f"{benign.source}; a longer account is watched in stretches of that many rows."
    ]
    for one in found.detectors:
        if one.why_not:
            lines.append(f"{one.name} cannot judge this run: {one.why_not}.")
        if one.without:
            alarm = _rows(one.without.first_alarm, "")
            then = f"alarms after {alarm} rows" if alarm else "does not alarm either"
            lines.append(f"{one.name} without users of the kind {one.without.users}: {then}.")
        if one.watched and one.watched < found.queries:
            lines.append(f"{one.name} watched the first {one.watched:,} rows only.")
    for cap in found.caps:
        band = f"{100 * cap.agreement:.0f} % agreement"
        if cap.reached is None:
            lines.append(f"{band} was not reached within {found.queries:,} rows.")
        elif cap.per_day is None:
            lines.append(f"{band} was reached at the first score ({cap.reached:,} rows): no cap.")
        else:
            needed = f", and {cap.accounts_in_a_day:,} accounts reach it in a day"
            lines.append(
                f"A cap of {cap.per_day:,} rows a day keeps an account of {cap.days} days below "
                f"{band}{needed if cap.accounts_in_a_day else ''}."
            )
    return lines
