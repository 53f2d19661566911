"""The command `check`: what is understood of a victim, and what its audit would cost."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, in_words, sentences
from clonecost.cli.options import AsJson, Consent, takes_keys
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out
from clonecost.cli.to_config import consent_of_keys, spec_of_keys
from clonecost.config.schema import Spec

if TYPE_CHECKING:  # torch takes a second to import, and `--help` must not
    from clonecost.workflows.check import Findings

Rows = Annotated[
    int | None,
    typer.Option("--rows", min=1, metavar="ROWS", help="Test rows that may be sent to an endpoint "
                 "or a function of yours, which may cost money. [default: none to these, 256 to a "
                 "model of this process]"),
]  # fmt: skip


@app.command()
@takes_keys(Spec)
def check(
    keys: dict[str, Any], rows: Rows = None, as_json: AsJson = False, consent: Consent = None
) -> None:
    """Show what is understood of a victim, and the hours and memory of its audit.

    Writes nothing. Exit status 2 if something would stop the audit.
    """
    with sentences():
        spec = spec_of_keys(keys, panel=True)
        from clonecost.config import must_consent
        from clonecost.workflows.check import check_victim

        must_consent(spec, consent_of_keys(spec, keys, consent), where=keys["victim"])
        with Display() as display:
            found = check_victim(spec, rows=rows, words=in_words, progress=display.step)
    if as_json:
        write_out(found.as_json())
    else:
        _show(found)
    for problem in found.problems:
        errors.print(f"problem: {problem}", style="yellow", markup=False)
    if found.problems:
        raise typer.Exit(2)


def _show(found: "Findings") -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for what, fact in [("victim", found.victim), *found.facts, *found.costs()]:
        table.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
    Terminal(highlight=False).print(table)
