"""The command line: parses, calls, prints; nothing else.

Exit status: 0 done, 1 a `--fail-above` limit was crossed, 2 it cannot be done (one sentence on
standard error says why and what to do), 130 stopped by Ctrl-C.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clonecost import __version__
from clonecost.console import Display, write_out
from clonecost.errors import CloneCostError, SpecError, suggest

if TYPE_CHECKING:  # torch takes a second to import: --help does not wait for it
    from clonecost.result import Result
    from clonecost.spec import Spec

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
errors = Console(stderr=True, highlight=False, soft_wrap=True)
TRACEBACK = "CLONECOST_TRACEBACK"


@contextmanager
def sentences(run: Path | None = None) -> Iterator[None]:
    """Every error is one sentence and exit status 2."""
    try:
        yield
    except CloneCostError as error:
        fail(str(error))
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        again = f": `clonecost resume {run}` goes on" if run else ""
        errors.print(f"stopped; nothing that was paid for is lost{again}", markup=False)
        raise typer.Exit(130) from None
    except Exception as error:  # nobody thought of this one
        if os.environ.get(TRACEBACK):
            raise
        first = next(iter(str(error).splitlines()), "")
        fail(
            f"unexpected {type(error).__name__}: {first}; nothing that was paid for is lost; if "
            f"your settings do not explain it, it is a bug: {TRACEBACK}=1 shows where"
        )


def fail(sentence: str) -> NoReturn:
    errors.print(f"clonecost: {sentence}", style="red", markup=False)
    raise typer.Exit(2)


def names(kind: str) -> Callable[[str], list[str]]:
    """Shell completion from the tables themselves."""

    def complete(begun: str) -> list[str]:
        return [name for name in _table(kind) if name.startswith(begun)]

    return complete


Victim = Annotated[
    str,
    typer.Argument(
        metavar="VICTIM|SPEC.toml",
        help="A zoo name (`clonecost list victims`), `package.module:name`, "
        "`weights.safetensors` (with --network), `program.pt2` (with --trust), "
        "or a TOML file with the keys below.",
        autocompletion=names("victims"),
    ),
]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", metavar="NAME[:PROFILE]", help="May be given several times. "
                 "[default: knockoff:shared]", autocompletion=names("attacks")),
]  # fmt: skip
Budget = Annotated[
    int | None, typer.Option("--budget", help="Rows that an attack may send. [default: 10000]")
]
Proxy = Annotated[
    str | None,
    typer.Option("--proxy", metavar="DATASET[:CLASSES]", help="The attacker's own unlabelled "
                 "data: a name, .npz, .safetensors or image folder. [default: photos]",
                 autocompletion=names("datasets")),
]  # fmt: skip
Student = Annotated[
    str | None,
    typer.Option("--student", metavar="NET", help="The clone's network. [default: the zoo "
                 "victim's own student, else resnet20]", autocompletion=names("networks")),
]  # fmt: skip
Answers = Annotated[
    str | None,
    typer.Option("--answers", metavar="probs|top_k:K|label", help="What the API answers. "
                 "[default: probs]"),
]  # fmt: skip
Precision = Annotated[
    str | None,
    typer.Option("--input-precision", metavar="float32|uint8", help="What the API takes; an "
                 "image API takes 8 bits. [default: float32]"),
]  # fmt: skip
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="ATTACK.FIELD=VALUE", help="Change a setting of an attack."),
]
Defences = Annotated[
    list[str] | None,
    typer.Option("--defence", metavar="NAME[:KEY=VALUE,...]", help="Put a defence in front of "
                 "the victim; the first sits closest to it.", autocompletion=names("defences")),
]  # fmt: skip
Price = Annotated[
    float | None, typer.Option("--price", metavar="USD", help="Price of 1,000 queries.")
]
Milestones = Annotated[
    str | None,
    typer.Option("--milestones", metavar="N,N,...", help="Score the clone after these many "
                 "queries, too. [default: 2, 5, 10, 20 and 50 % of the budget]"),
]  # fmt: skip
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="May be given several times; intervals then cover training, "
                 "too. [default: 0]"),
]  # fmt: skip
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N. [default: auto]")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="RUN", help="Run folder. [default: runs/...]")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Where data sets lie; CLONECOST_DATA does "
                 "the same."),
]  # fmt: skip
Keep = Annotated[
    str | None,
    typer.Option("--keep", metavar="auto|all|none", help="Keep what was sent, for `replay`. "
                 "[default: auto, up to 256 MiB]"),
]  # fmt: skip
Controls = Annotated[
    bool | None,
    typer.Option("--controls/--no-controls", help="Also train the students that show what the "
                 "queries bought (no further queries)."),
]  # fmt: skip
Test = Annotated[
    str | None,
    typer.Option("--test", metavar="DATASET", help="Your own victim's test rows: a data set or "
                 "a file with inputs and labels.", rich_help_panel="Your own victim"),
]  # fmt: skip
Network = Annotated[
    str | None, typer.Option("--network", metavar="NET", help="Of a weights file.",
                             rich_help_panel="Your own victim"),
]  # fmt: skip
Outputs = Annotated[
    str | None,
    typer.Option("--outputs", metavar="logits|probs", help="What your model returns. [default: "
                 "logits of a torch module, probs of any other callable]",
                 rich_help_panel="Your own victim"),
]  # fmt: skip
Shape = Annotated[
    str | None,
    typer.Option("--shape", metavar="C,H,W", help="What your model takes. [default: as the test "
                 "rows]", rich_help_panel="Your own victim"),
]  # fmt: skip
Classes = Annotated[
    int | None, typer.Option("--classes", help="How many classes it has. [default: as the test "
                             "rows]", rich_help_panel="Your own victim"),
]  # fmt: skip
Trust = Annotated[
    bool | None,
    typer.Option("--trust", help="The .pt2 file is mine: loading one can run any code.",
                 rich_help_panel="Your own victim"),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
FailAbove = Annotated[
    list[str] | None,
    typer.Option("--fail-above", metavar="METRIC=SHARE", help="Exit with status 1 when the final "
                 "clone's agreement, accuracy or relative_accuracy exceeds this."),
]  # fmt: skip


@app.command()
def audit(
    victim: Victim, attack: Attacks = None, budget: Budget = None, proxy: Proxy = None,
    student: Student = None, answers: Answers = None, input_precision: Precision = None,
    set_: Settings = None, defence: Defences = None, price: Price = None,
    milestones: Milestones = None, seed: Seeds = None, device: Device = None, out: Out = None,
    data: Data = None, keep: Keep = None, controls: Controls = None, test: Test = None,
    network: Network = None, outputs: Outputs = None, shape: Shape = None,
    classes: Classes = None, trust: Trust = None, as_json: AsJson = False,
    fail_above: FailAbove = None,
) -> None:  # fmt: skip
    """Attack the victim within the budget and report the price of its clone.

    The same command goes on after a crash; what was bought is never bought again.
    """
    with sentences():
        limits = _limits(fail_above)
        spec = _spec(victim, locals())
        from clonecost.spec import default_out

        folder = out or default_out(spec)
    _run(spec, folder, as_json, limits)


@app.command()
def plan(
    victim: Victim, attack: Attacks = None, budget: Budget = None, proxy: Proxy = None,
    student: Student = None, answers: Answers = None, input_precision: Precision = None,
    set_: Settings = None, defence: Defences = None, price: Price = None,
    milestones: Milestones = None, seed: Seeds = None, device: Device = None, out: Out = None,
    data: Data = None, keep: Keep = None, controls: Controls = None, test: Test = None,
    network: Network = None, outputs: Outputs = None, shape: Shape = None,
    classes: Classes = None, trust: Trust = None,
) -> None:  # fmt: skip
    """Say what an audit would ask and cost, and what is missing. Sends nothing."""
    with sentences():
        spec = _spec(victim, locals())
        from clonecost.work import plan as make_plan

        found = make_plan(spec)
        table = Table(show_header=False, box=None, pad_edge=False)
        for what, fact in found.lines:
            table.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
        Console(highlight=False).print(table)
        for sentence in found.missing:
            errors.print(f"missing: {sentence}", style="yellow", markup=False)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    budget: Annotated[
        int | None, typer.Option("--budget", help="A larger one than before.")
    ] = None,
    as_json: AsJson = False,
    fail_above: FailAbove = None,
) -> None:
    """Go on after a crash, or with a larger budget. Nothing is paid for twice."""
    with sentences(run):
        from clonecost.work import spec_of

        limits = _limits(fail_above)
        spec = spec_of(run, budget)
    _run(spec, run, as_json, limits)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders "
                                               "of run folders.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="[default: report.html "
                                             "in the first RUN; - is standard output]")] = None,
    format_: Annotated[str, typer.Option("--format", metavar="html|md|json")] = "html",
) -> None:  # fmt: skip
    """One or many runs as a page that a manager and an engineer both read."""
    with sentences():
        from clonecost import report as pages
        from clonecost import run_folder

        makers = {"html": pages.html, "md": pages.markdown, "json": pages.as_json}
        if format_ not in makers:
            raise SpecError(suggest("format", format_, list(makers)))
        found = [folder for run in runs for folder in pages.runs_in(run)]
        finished = [folder for folder in found if (folder / run_folder.RESULT).is_file()]
        for folder in found:
            if folder not in finished and finished:
                errors.print(
                    f"left out: {folder} did not finish; `clonecost resume {folder}` goes on",
                    style="yellow", markup=False,
                )  # fmt: skip
        text = makers[format_](pages.load_runs(finished or found))
        if str(out) == "-" or (out is None and format_ != "html"):
            write_out(text)
            return
        target = out or runs[0] / "report.html"
        run_folder.write(target, text)
        errors.print(f"wrote {target}", markup=False)


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that kept its inputs.")],
    student: Annotated[
        str, typer.Option("--student", metavar="NET", autocompletion=names("networks"))
    ],
    seed: Annotated[int, typer.Option("--seed")] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", help="[default: 60]")] = None,
    as_json: AsJson = False,
) -> None:
    """Train another student on what was bought. The victim is not asked."""
    with sentences():
        from clonecost.work import replay as train_again

        with Display(quiet=as_json) as display:
            path, found = train_again(run, student, seed=seed, epochs=epochs, progress=display.step)
        if as_json:
            write_out(path.read_text(encoding="utf-8"))
            return
        agreement, accuracy = found.score.agreement, found.score.accuracy
        write_out(
            f"{student} trained on {found.rows:,} bought rows: agreement {agreement.value:.1%} "
            f"(95 % interval {agreement.low:.1%} to {agreement.high:.1%}), accuracy "
            f"{accuracy.value:.1%}; no query was sent\nwrote {path}\n"
        )


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
) -> None:
    """Is the ledger whole and unaltered, and does it agree with result.json?"""
    with sentences():
        from clonecost.report import runs_in
        from clonecost.work import verify as check

        faults = [(folder, fault) for folder in runs_in(run) for fault in check(folder)]
        for folder, fault in faults:
            errors.print(f"{folder}: {fault}", style="red", markup=False)
        if faults:
            raise typer.Exit(2)
        write_out(f"{run}: every row is accounted for, and nothing was altered\n")


@train.command("victim")
def train_victim(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=names("victims"))],
    seed: Annotated[int, typer.Option("--seed")] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", help="[default: the recipe's]")] = None,
    device: Device = None,
    data: Data = None,
) -> None:
    """Train a victim of the zoo, whether or not it is cached; prints its card."""
    with sentences():
        from clonecost import zoo
        from clonecost.spec import make_device

        with Display() as display:
            folder = zoo.train_victim(
                name, root=data, seed=seed, epochs=epochs,
                device=make_device(device or "auto"), progress=display.step,
            )  # fmt: skip
        write_out((folder / zoo.CARD).read_text(encoding="utf-8"))
        errors.print(f"in {folder}", markup=False)


@train.command("generator")
def train_generator(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=names("generators"))],
    proxy: Proxy = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", metavar="C,H,W", help="Of the images that it makes: what the "
                     "victim takes. [default: the proxy's own]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="[default: the recipe's]")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Device = None,
    data: Data = None,
) -> None:  # fmt: skip
    """Train a generator on the attacker's own data, cached or not; prints its card."""
    with sentences():
        from clonecost import generators
        from clonecost.data import load
        from clonecost.spec import make_device

        if name not in generators.GENERATORS:  # before data are downloaded
            raise SpecError(suggest("generator", name, list(generators.GENERATORS)))
        size = tuple(_numbers("shape", shape)) if shape is not None else None
        place = make_device(device or "auto")
        with Display() as display:
            rows = load(proxy or "photos", "train", root=data, shape=size, progress=display.step)
            folder = generators.train_generator(
                name, rows, epochs=epochs, seed=seed, device=place, progress=display.step
            )
        card = json.loads((folder / generators.CARD).read_text(encoding="utf-8"))
        del card["losses"]  # a page of them, for the file
        write_out(json.dumps(card, indent=2) + "\n")
        errors.print(f"in {folder}", markup=False)
        errors.print(f"to look at: {folder / generators.SAMPLES}", markup=False)


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(metavar="attacks|victims|datasets|networks|defences|generators")
    ],
) -> None:
    """What there is to choose from."""
    with sentences():
        kinds = ["attacks", "victims", "datasets", "networks", "defences", "generators"]
        if kind not in kinds:
            raise SpecError(suggest("list", kind, kinds))
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, summary in _table(kind).items():
            table.add_row(f"[bold]{name}[/bold]", summary)
        Console(highlight=False).print(table)


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
    from clonecost import run_folder
    from clonecost.audit import Audit, Watcher
    from clonecost.work import run_spec

    results: list[Result] = []
    folders: list[Path] = []
    begun: list[Audit] = []
    with sentences(out), Display() as display:

        def watch(audit: Audit) -> Watcher:
            begun.append(audit)
            seed = f", seed {audit.seed}" if len(spec.seed) > 1 else ""
            display.begin(f"{audit.attack_name} on {audit.victim_name}{seed}")
            return Watcher(spent=display.spent, step=display.step, scored=display.scored)

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
    errors.print(f"report: {out / 'report.html'}", markup=False)
    for metric, limit in limits.items():
        worst = max(_metric(result, metric) for result in results)
        if worst > limit:
            errors.print(f"{metric} {worst:.3f} is above {limit:g}", style="red", markup=False)
            raise typer.Exit(1)


def _price_tag(runs: "list[Any]") -> None:
    from clonecost import report as pages

    for group in pages.group_runs(runs):
        write_out(pages.headline(group) + "\n")
    for run in runs:
        for flag in run.result.flags:
            if flag.severity == "warning":
                errors.print(
                    f"{run.result.attack.name}: {flag.message}", style="yellow", markup=False
                )


def _metric(result: "Result", metric: str) -> float:
    last = result.curve[-1]
    values = {"agreement": last.agreement.value, "accuracy": last.accuracy.value,
              "relative_accuracy": last.relative_accuracy}  # fmt: skip
    return values[metric]


def _limits(written: list[str] | None) -> dict[str, float]:
    limits = {}
    for text in written or []:
        metric, _, share = text.partition("=")
        known = ["agreement", "accuracy", "relative_accuracy"]
        if metric not in known:
            raise SpecError(suggest("metric", metric, known))
        try:
            limits[metric] = float(share)
        except ValueError:
            limits[metric] = -1
        if not 0 <= limits[metric] <= 1:  # 90 would never be exceeded
            raise SpecError(f"--fail-above {text!r}: want {metric}=SHARE from 0 to 1, as 0.9")
    return limits


FLAGS = ("attack", "budget", "proxy", "student", "answers", "input_precision", "defence", "price",
         "seed", "device", "data", "keep", "controls", "test", "network", "outputs", "classes",
         "trust")  # fmt: skip


def _spec(victim: str, flags: dict[str, Any]) -> "Spec":
    """Flags (those that were given) over the keys of a TOML file, if there is one."""
    from clonecost.spec import make_spec, parse_value, read_toml

    written: dict[str, Any] = {"victim": victim}
    where = "the command line"
    if victim.endswith(".toml"):
        written, where = read_toml(Path(victim)), victim
    for name in FLAGS:
        if flags[name] not in (None, []):
            written[name] = flags[name]
    for name in ("milestones", "shape"):
        if flags[name] is not None:
            written[name] = _numbers(name, flags[name])
    if flags["set_"]:
        settings: dict[str, dict[str, Any]] = {
            k: dict(v) for k, v in written.get("set", {}).items()
        }
        for text in flags["set_"]:
            left, equals, value = text.partition("=")
            attack, dot, field = left.partition(".")
            if not (equals and dot):
                raise SpecError(f"--set {text!r}: want ATTACK.FIELD=VALUE, as dfme.student_lr=0.03")
            settings.setdefault(attack, {})[field] = parse_value(value)
        written["set"] = settings
    return make_spec(written, where=where)


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part.replace("_", "")) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SpecError(f"--{name} {text!r}: want whole numbers with commas between") from None


def _table(kind: str) -> dict[str, str]:
    """Names with one line each."""
    if kind == "attacks":
        from clonecost.attacks import ATTACKS, PROFILES

        found = {}
        for name, attack in ATTACKS.items():
            first = (sys.modules[attack.__module__].__doc__ or "").splitlines()[0]
            profiles = ", ".join(f"{name}:{profile}" for profile in PROFILES[name])
            found[name] = f"{first} Needs {attack.needs}. Profiles: {profiles or 'none'}."
        return found
    if kind == "defences":
        from clonecost.defences import DEFENCES

        return {
            name: (sys.modules[part.__module__].__doc__ or "").splitlines()[0]
            for name, part in DEFENCES.items()
        }
    if kind == "victims":
        from clonecost.zoo import VICTIMS

        return {name: recipe.summary for name, recipe in VICTIMS.items()}
    if kind == "networks":
        from clonecost.networks import NETWORKS

        return {name: card.summary for name, card in NETWORKS.items()}
    if kind == "generators":
        from clonecost.generators import GENERATORS

        return {name: card.summary for name, card in GENERATORS.items()}
    from clonecost.data import DATASETS

    return {name: card.summary for name, card in DATASETS.items()}


def main() -> None:
    """The entry point of the `clonecost` command."""
    app()
