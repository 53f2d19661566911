"""The commands: each parses, calls, prints; nothing else."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clonecost.cli.errors import errors, sentences
from clonecost.cli.list import check_kind, details, names, table
from clonecost.cli.options import OF_A_RUN, AsJson, FailAbove, Out, takes_keys
from clonecost.cli.progress_display import Display, write_out
from clonecost.cli.to_config import limits_of, spec_of_keys
from clonecost.config.key import Key
from clonecost.config.schema import Spec
from clonecost.errors import SpecError, suggest
from clonecost.registry import KINDS
from clonecost.version import __version__

if TYPE_CHECKING:  # torch takes a second to import: --help does not wait for it
    from clonecost.result import Result

app = typer.Typer(
    name="clonecost",
    help="What does it cost to clone a classifier through its prediction API?\n\n"
    "Point it at a model that you own: `clonecost audit digits-lenet` is a complete example that "
    "needs no data and no network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
train = typer.Typer(help="Make the zoo's parts; they are cached.", no_args_is_help=True)
app.add_typer(train, name="train")


@app.command()
@takes_keys(Spec)
def audit(
    keys: dict[str, Any], out: Out = None, as_json: AsJson = False, fail_above: FailAbove = None
) -> None:
    """Attack the victim within the budget and report the price of its clone.

    The same command goes on after a crash; what was bought is never bought again.
    """
    with sentences():
        limits = limits_of(fail_above)
        spec = spec_of_keys(keys)
        from clonecost.config import default_out

        folder = out or default_out(spec)
    _run(spec, folder, as_json, limits)


@app.command()
@takes_keys(Spec)
def plan(keys: dict[str, Any]) -> None:
    """Say what an audit would ask and cost, and what is missing. Sends nothing."""
    with sentences():
        spec = spec_of_keys(keys)
        from clonecost.workflows.plan import plan as make_plan

        found = make_plan(spec)
        table = Table(show_header=False, box=None, pad_edge=False)
        for what, fact in found.lines:
            table.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
        Console(highlight=False).print(table)
        for sentence in found.missing:
            errors.print(f"missing: {sentence}", style="yellow", markup=False)


@app.command()
@takes_keys(Spec, "budget", "max_lost", words=OF_A_RUN)
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    keys: dict[str, Any], as_json: AsJson = False, fail_above: FailAbove = None,
) -> None:  # fmt: skip
    """Go on after a crash, or with a larger budget. Nothing is paid for twice."""
    with sentences(run):
        from clonecost.workflows.run import spec_of

        limits = limits_of(fail_above)
        spec = spec_of(run, **keys)
    _run(spec, run, as_json, limits)


@train.command("victim")
@takes_keys(Spec, "device", "data")
def train_victim(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=names("victims"))],
    keys: dict[str, Any],
    seed: Annotated[int, typer.Option("--seed")] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", help="[default: the recipe's]")] = None,
) -> None:
    """Train a victim of the zoo, whether or not it is cached; prints its card."""
    with sentences():
        from clonecost.config import make_device
        from clonecost.victims.zoo import images as zoo

        with Display() as display:
            folder = zoo.train_victim(
                name, root=keys.get("data"), seed=seed, epochs=epochs,
                device=make_device(keys.get("device", "auto")), progress=display.step,
            )  # fmt: skip
        write_out((folder / zoo.CARD).read_text(encoding="utf-8"))
        errors.print(f"in {folder}", markup=False)


@train.command("generator")
@takes_keys(Spec, "proxy", "shape", "device", "data", words={
    "shape": Key("Shape of the images that the generator makes: the victim's input shape.",
                 metavar="C,H,W", default="the proxy's own"),
})  # fmt: skip
def train_generator(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", autocompletion=names("generators"),
                       help="One of `clonecost list generators`; `-small` ones suit two cores."),
    ],
    keys: dict[str, Any],
    epochs: Annotated[int | None, typer.Option("--epochs", help="[default: the recipe's]")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:  # fmt: skip
    """Train a generator on the attacker's own data, cached or not; prints its card."""
    with sentences():
        from clonecost import generators
        from clonecost.config import make_device
        from clonecost.data import load
        from clonecost.persistence.model_cache import CARD

        if name not in generators.GENERATORS:  # before data are downloaded
            raise SpecError(suggest("generator", name, list(generators.GENERATORS)))
        shape = tuple(keys["shape"]) if "shape" in keys else None
        place = make_device(keys.get("device", "auto"))
        with Display() as display:
            rows = load(
                keys.get("proxy", "photos"), "train", root=keys.get("data"), shape=shape,
                progress=display.step,
            )  # fmt: skip
            folder = generators.train_generator(
                name, rows, epochs=epochs, seed=seed, device=place, progress=display.step
            )
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        del card["losses"]  # a page of them, for the file
        write_out(json.dumps(card, indent=2) + "\n")
        errors.print(f"in {folder}", markup=False)
        errors.print(f"to look at: {folder / generators.SAMPLES}", markup=False)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS))],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print the settings of this one.")
    ] = None,
) -> None:
    """What there is to choose from, or one of them with its settings."""
    with sentences():
        checked = check_kind(kind)
        found = details(checked, name) if name else table(checked)
        Console(highlight=False).print(found)


@app.command()
def schema() -> None:
    """Print the JSON schema of result.json."""
    from clonecost.result import json_schema

    write_out(json.dumps(json_schema(), indent=2) + "\n")


@app.callback(invoke_without_command=True)
def version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        write_out(f"clonecost {__version__}\n")
        raise typer.Exit


def _run(spec: "Spec", out: Path, as_json: bool, limits: dict[str, float]) -> None:
    from clonecost import report as pages
    from clonecost.audit import Audit, Watcher
    from clonecost.persistence import run_folder
    from clonecost.result import metric_value
    from clonecost.workflows.run import run_spec

    results: list[Result] = []
    folders: list[Path] = []
    begun: list[Audit] = []
    with sentences(out), Display() as display:

        def watch(audit: Audit) -> Watcher:
            begun.append(audit)
            seed = f", seed {audit.seed}" if len(spec.seed) > 1 else ""
            display.begin(
                f"{audit.attack_name} on {audit.loaded.name}{seed}", price=audit.price,
                rate=audit.loaded.endpoint().rate if audit.loaded.endpoint else None,
            )  # fmt: skip
            return Watcher(
                spent=display.spent, step=display.step, scored=display.scored, notice=display.notice
            )

        command = shlex.join(["clonecost", *sys.argv[1:]])
        for folder, result in run_spec(
            spec, out, watch=watch, progress=display.step, command=command
        ):
            folders.append(folder)
            results.append(result)
        if not begun:
            errors.print("finished before: nothing was run again", markup=False)
        runs = pages.load_runs(folders)
        run_folder.write(out / "report.html", pages.html(runs))
    if as_json:
        write_out(pages.as_json(runs))
    else:
        _price_tag(runs)
    for run in runs:
        errors.print(f"ledger head of {run.path}: {run.head}", markup=False)
    errors.print(f"report: {out / 'report.html'}", markup=False)
    for metric, limit in limits.items():
        worst = max(metric_value(result.curve[-1], metric) for result in results)
        if worst > limit:
            errors.print(f"{metric} {worst:.3f} is above {limit:g}", style="red", markup=False)
            raise typer.Exit(1)


def _price_tag(runs: "list[Any]") -> None:
    from clonecost import report as pages

    for group in pages.group_runs(runs):
        write_out(pages.headline(group) + "\n")
        costs = pages.query_costs(group)
        if costs and costs.unused:
            write_out(pages.query_costs_words(costs) + "\n")
    for run in runs:
        for flag in run.result.flags:
            if flag.severity == "warning":
                errors.print(
                    f"{run.result.attack.name}: {flag.message}", style="yellow", markup=False
                )
