"""The command `detect`: would the owner have noticed the attack of a run, and who is suspicious?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from clonecost.cli.audit import app
from clonecost.cli.errors import flag, in_run, sentences
from clonecost.cli.list import names
from clonecost.cli.options import AsJson, Consent, Seed
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out
from clonecost.errors import DropKey, SpecError
from clonecost.safe_text import one_line

if TYPE_CHECKING:
    from clonecost.result.detection import Detection, DetectorFinding
    from clonecost.result.log_ranking import LogRanking
    from clonecost.result.rates import Rate

SHOWN = 20  # principals of a log


@app.command()
def detect(
    target: Annotated[
        Path, typer.Argument(metavar="RUN|LOG.jsonl", help="A finished run, or an API's own log.")
    ],
    benign: Annotated[
        str | None,
        typer.Option("--benign", metavar="RUN2|DATASET|LOG2", help="Honest traffic to calibrate "
                     "with: another run, whose paid rows are taken as honest; a data set, whose "
                     "test rows are sent to the model and counted apart; for a log another log. "
                     "[default: the test set; for a log none, and principals are only ranked]"),
    ] = None,
    benign_rows: Annotated[
        int | None,
        typer.Option("--benign-rows", metavar="ROWS", help="The most rows of a data set that are "
                     "sent. [default: 5,000]"),
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
        int | None,
        typer.Option("--accounts", metavar="N", help="Benign accounts: one half calibrates, the "
                     "other half checks. [default: 400]"),
    ] = None,
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
        int | None,
        typer.Option("--days", metavar="DAYS", help="Days for which an account is used, for the "
                     "daily cap. [default: 30]"),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    consent: Consent = None,
) -> None:  # fmt: skip
    """Would you have noticed? Tries detectors on a run, or ranks the principals of your own log."""
    of_a_run: dict[str, Any] = {
        "accounts": accounts, "users": users, "account_rows": account_rows, "days": days,
        "benign_rows": benign_rows,
    }  # fmt: skip
    given = {name: value for name, value in of_a_run.items() if value is not None}
    with sentences(place=in_run(target, "seed", "rate", "consent", *of_a_run)):
        if target.is_file():
            for name in given:
                raise SpecError(f"{flag(name)} is for a run, and {target} is a log", DropKey(name))
            _rank(
                target,
                None if benign is None else Path(benign),
                detector or (),
                rate,
                seed,
                as_json,
            )
            return
        from clonecost.config import checked_consent
        from clonecost.workflows.detect import detect as watch

        with Display(quiet=as_json) as display:
            found = watch(
                target, benign=benign, detectors=detector or (), rate=rate, seed=seed,
                progress=display.step, consent=checked_consent(consent or []), **given,
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


def _rank(
    log: Path, benign: Path | None, detectors: Sequence[str], rate: float, seed: int, as_json: bool
) -> None:
    """Rank the principals of a log and print them."""
    from clonecost.workflows.rank_log import rank_log

    found = rank_log(log, benign=benign, detectors=detectors, rate=rate, seed=seed)
    if as_json:
        write_out(found.model_dump_json(indent=2) + "\n")
        return
    used = [name for name in found.principals[0].scores if name not in found.not_used]
    heads = ["principal", "rows", "busiest day", "suspicion", *used, "alarms"]
    table = _grid(*heads)
    for one in found.principals[:SHOWN]:
        scores = [_score(one.scores[name]) for name in used]
        table.add_row(
            escape(one_line(one.name)), f"{one.rows:,}", f"{one.busiest_day:,}",
            _score(one.suspicion), *scores, ", ".join(one.alarms) or "-",
        )  # fmt: skip
    Terminal(highlight=False).print(table)
    write_out("\n" + "".join(f"{line}\n" for line in _about(found)))


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _about(found: "LogRanking") -> list[str]:
    """What the ranking does not hold, one sentence each."""
    usage = found.usage
    lines = [
        f"{len(found.principals):,} principals with {found.rows:,} rows from {found.first} to "
        f"{found.last} UTC, compared with {found.compared_with}; scores are robust standard "
        "deviations above their median.",
        f"On its busiest day a principal asked {usage.median:,} rows (median), 95 % of them at "
        f"most {usage.most_95:,}, 99 % at most {usage.most_99:,}.",
    ]
    if found.rate is None:
        lines.append("Without honest traffic this is a ranking and no alarm; --benign LOG2 sets "
                     "thresholds.")  # fmt: skip
    lines += [
        f"{name} cannot judge this log: {why}." for name, why in sorted(found.not_used.items())
    ]
    if len(found.principals) > SHOWN:
        lines.append(f"{len(found.principals) - SHOWN:,} more principals: --json has all of them.")
    return lines


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
        + (f" {benign.queries:,} rows were sent for that, counted apart." * bool(benign.queries))
    ]
    for one in found.detectors:
        if one.why_not:
            lines.append(f"{one.name} cannot judge this run: {one.why_not}.")
        if one.set_aside:
            lines.append(f"An alarm of {one.name} decides nothing, since {one.set_aside}.")
        if one.without and one.without.first_alarm != one.first_alarm:
            alarm = _rows(one.without.first_alarm, "")
            then = f"alarms after {alarm} rows" if alarm else "does not alarm either"
            lines.append(f"{one.name} without users of the kind {one.without.users}: {then}.")
        if one.watched and one.watched < found.queries:
            lines.append(f"{one.name} watched the first {one.watched:,} rows only.")
    for cap in found.caps:
        band = f"{100 * cap.band:.0f} % chance-corrected agreement"
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
