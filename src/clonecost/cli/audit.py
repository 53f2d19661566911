"""The commands `audit`, `plan`, `resume`, `train`, `list` and `schema`: parse, call, print."""

import json
import shlex
import sys
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from clonecost.cli.copies import copied, place_of
from clonecost.cli.errors import ANY, Place, errors, in_run, in_words, sentences
from clonecost.cli.fail_above import judged, limits_of, must_be_known
from clonecost.cli.list import check_kind, details, names, table
from clonecost.cli.options import (
    OF_A_RUN,
    AsJson,
    Consent,
    Epochs,
    FailAbove,
    Out,
    Seed,
    Workers,
    device_that,
    takes_keys,
)
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out
from clonecost.cli.to_config import consent_of_keys, spec_of_keys
from clonecost.config.key import Key
from clonecost.config.schema import Spec
from clonecost.errors import Advice, ChooseFrom, SpecError, suggest
from clonecost.registry import KINDS
from clonecost.version import __version__

if TYPE_CHECKING:  # torch takes a second to import, and `--help` must not
    from clonecost.persistence.run_store import RunStore
    from clonecost.result import Result
    from clonecost.result.gate import Limit

app = typer.Typer(
    name="clonecost",
    help="What does it cost to clone a classifier through its prediction API?\n\n"
    "Attacks a model that you own or may test, counts every query, and reports the price of the "
    "clone. `clonecost audit digits-lenet` is a complete example that downloads nothing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
train = typer.Typer(help="Train a victim of the zoo, or a generator.", no_args_is_help=True)
app.add_typer(train, name="train")


@app.command()
@takes_keys(Spec)
def audit(
    keys: dict[str, Any], out: Out = None, as_json: AsJson = False, fail_above: FailAbove = None,
    consent: Consent = None, workers: Workers = "1",
) -> None:  # fmt: skip
    """Attack the victim within the query budget and report the price of the clone.

    After a crash the same command resumes the run; no row is paid for twice.
    """
    with sentences():
        limits = limits_of(fail_above)
        spec = spec_of_keys(keys, panel=True)
        agreed = consent_of_keys(spec, keys, consent)
        from clonecost.config import default_out

        place, store = place_of(out)
        folder = place or default_out(spec)
        if workers != "1" and spec.panel:
            raise SpecError(
                "The attacks of a panel run one after the other: the rows of each, and whether it "
                "is stopped early, depend on those before it",
                Advice("leave --workers out, or name attacks of your own"),
            )
    with copied(store, works=workers == "1"):
        _run(spec, folder, as_json, limits, agreed, keys["victim"], workers=workers, store=store)


@app.command()
@takes_keys(Spec)
def plan(keys: dict[str, Any]) -> None:
    """Print an audit's queries, cost and duration, and what is missing. Sends nothing."""
    with sentences():
        spec = spec_of_keys(keys, panel=True)
        from clonecost.workflows.plan import plan as make_plan

        planned = make_plan(spec, words=in_words)
        table = Table(show_header=False, box=None, pad_edge=False)
        for what, fact in planned.lines:
            table.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
        Terminal(highlight=False).print(table)
        for sentence in planned.missing:
            errors.print(f"missing: {sentence}", style="yellow", markup=False)


@app.command()
@takes_keys(Spec, *OF_A_RUN, words=OF_A_RUN)
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    keys: dict[str, Any], as_json: AsJson = False, fail_above: FailAbove = None,
    consent: Consent = None,
) -> None:  # fmt: skip
    """Resume a run after a crash, or with a larger budget. No row is paid for twice."""
    place = in_run(run, *OF_A_RUN, "consent")
    with sentences(run, place):
        from clonecost.config import checked_consent
        from clonecost.workflows.run import spec_of

        limits = limits_of(fail_above)
        agreed = checked_consent(consent or [])
        spec = spec_of(run, **keys)
    _run(spec, run, as_json, limits, agreed, place.file, place)


@train.command("victim")
@takes_keys(Spec, "device", "data", words=device_that("trains the victim"))
def train_victim(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=names("victims"),
                                        help="A name in `clonecost list victims`.")],
    keys: dict[str, Any],
    seed: Seed = 0,
    epochs: Epochs = None,
) -> None:  # fmt: skip
    """Train a victim of the zoo anew, even if it is cached, and print its card."""
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
    "shape": Key("Shape of the generator's images: the victim's input shape.",
                 metavar="C,H,W", default="that of the proxy data"),
    **device_that("trains the generator"),
})  # fmt: skip
def train_generator(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", autocompletion=names("generators"),
                       help="A name in `clonecost list generators`; the `-small` ones are sized "
                       "for a CPU with 2 cores."),
    ],
    keys: dict[str, Any],
    epochs: Epochs = None,
    seed: Seed = 0,
) -> None:  # fmt: skip
    """Train a generator on proxy data anew, even if it is cached, and print its card."""
    with sentences():
        from clonecost import generators
        from clonecost.config import make_device
        from clonecost.data import load
        from clonecost.persistence.model_cache import CARD

        if name not in generators.GENERATORS:  # refused before data are downloaded
            raise SpecError(
                suggest("generator", name, list(generators.GENERATORS)), ChooseFrom("generators")
            )
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
        del card["losses"]  # too many to print; the file has them
        write_out(json.dumps(card, indent=2) + "\n")
        errors.print(f"in {folder}", markup=False)
        errors.print(f"sample images: {folder / generators.SAMPLES}", markup=False)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS))],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this part with its settings.")
    ] = None,
) -> None:
    """List the attacks, victims, data sets and so on, or print one with its settings."""
    with sentences():
        checked = check_kind(kind)
        Terminal(highlight=False).print(details(checked, name) if name else table(checked))


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


def _run(
    spec: "Spec", out: Path, as_json: bool, limits: "Sequence[Limit]", consent: Container[str],
    where: str, place: Place = ANY, *, workers: str = "1", store: "RunStore | None" = None,
) -> None:  # fmt: skip
    """Run a spec that `where` holds, and print its price.

    Args:
        consent: what the person agreed to.
        workers: where its runs go on at the same time; 1: one after the other, here.
        store: where copies of the run folders lie, which the workers fetch and write.
    """
    from clonecost import report as pages
    from clonecost.audit import Audit, Watcher
    from clonecost.persistence import run_folder
    from clonecost.workflows.panel import run_panel
    from clonecost.workflows.run import run_spec

    results: list[Result] = []
    folders: list[Path] = []
    started: list[Audit] = []
    with sentences(out, place), Display() as display:

        def watch(audit: Audit) -> Watcher:
            must_be_known(limits, labelled=audit.test.labelled)
            started.append(audit)
            seed = f", seed {audit.seed}" if len(spec.seed) > 1 else ""
            display.begin(
                f"{audit.attack_name} on {audit.loaded.name}{seed}", price=audit.price,
                rate=audit.loaded.endpoint().rate if audit.loaded.endpoint else None,
            )  # fmt: skip
            return Watcher(
                spent=display.spent, step=display.step, scored=display.scored, notice=display.notice
            )

        command = shlex.join(["clonecost", *sys.argv[1:]])
        workflow: Callable[..., Iterable[tuple[Path, Result]]]
        workflow = run_panel if spec.panel else run_spec
        if workers != "1":
            workflow = partial(_apart, workers, store=store)
        for folder, result in workflow(
            spec, out, watch=watch, progress=display.step, command=command, consent=consent,
            where=where, notice=display.notice,
        ):  # fmt: skip
            folders.append(folder)
            results.append(result)
        if not started and workers == "1":
            errors.print("the run has finished already: nothing was run again", markup=False)
        beside = pages.read_documents([out])
        runs = pages.load_runs([*folders, *pages.measures_in(out, beside.panel)])
        attacks = runs[: len(folders)]
        run_folder.write(out / "report.html", pages.html(runs, beside))
    if as_json:
        write_out(pages.as_json(runs, beside if beside.panel else None))
    elif beside.panel:
        write_out(pages.panel_headline(pages.group_runs(attacks), beside.panel) + "\n")
        for line in pages.entry_lines(pages.group_runs(runs), beside.panel):
            write_out(f"  {line}\n")
    else:
        _price_tag(runs)
    if not as_json:
        _warnings(runs)
    for run in runs:
        errors.print(f"ledger head of {run.path}: {run.head}", markup=False)
    errors.print(f"report: {out / 'report.html'}", markup=False)
    with sentences(out, place):  # a run that had finished already was not asked for its labels
        status, said = judged(limits, results)
    for sentence in said:
        errors.print(sentence, style="red", markup=False)
    if status:
        raise typer.Exit(status)


def _apart(
    workers: str, spec: "Spec", out: Path, *, watch: object, notice: object, **settings: Any
) -> "Sequence[tuple[Path, Result]]":
    """Every run of a spec at once; their events are shown instead of those of an audit here."""
    from clonecost.cli.live_runs import said_above, shown_live
    from clonecost.workers import pool_of
    from clonecost.workflows.apart import run_spec_apart

    pool = pool_of(workers)
    with shown_live(out) as beat:
        return run_spec_apart(spec, out, pool, beat=beat, notice=said_above, **settings)


def _price_tag(runs: "list[Any]") -> None:
    from clonecost import report as pages

    for group in pages.group_runs(runs):
        write_out(pages.headline(group) + "\n")
        costs = pages.query_costs(group)
        if costs and costs.unused:
            write_out(pages.query_costs_words(costs) + "\n")


def _warnings(runs: "list[Any]") -> None:
    for run in runs:
        for flag in run.result.flags:
            if flag.severity == "warning":
                errors.print(
                    f"{run.result.attack.name}: {flag.message}", style="yellow", markup=False
                )
