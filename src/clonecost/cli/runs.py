"""The commands that look into a run folder: report, replay, transfer, verify."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, sentences
from clonecost.cli.list import names
from clonecost.cli.options import OF_A_RUN, AsJson, takes_keys
from clonecost.cli.progress_display import Display, write_out
from clonecost.config.schema import Spec
from clonecost.errors import Advice, SpecError, suggest


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
        from clonecost.persistence import run_folder

        makers = {"html": pages.html, "md": pages.markdown, "json": pages.as_json}
        if format_ not in makers:
            raise SpecError(suggest("format", format_, list(makers)))
        found = [folder for run in runs for folder in run_folder.runs_in(run)]
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
        from clonecost.workflows.replay import replay as train_again

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
@takes_keys(Spec, "max_lost", words=OF_A_RUN)
def transfer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run on images.")],
    keys: dict[str, Any],
    epsilon: Annotated[
        list[float] | None,
        typer.Option("--epsilon", help="How far a pixel in [0, 1] may be moved; may be given "
                     "several times. [default: 0.03, 0.1]"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="fgsm|pgd|mim", help="May be given several times. "
                     "[default: all]"),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Test rows that are tried.")] = 500,
    seed: Annotated[int | None, typer.Option("--seed", help="[default: the run's]")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Ask the model about adversarial examples made on its clone. Every row is counted, apart."""
    with sentences():
        from clonecost.evaluation.adversarial_transfer import METHODS
        from clonecost.workflows.transfer import EPSILONS
        from clonecost.workflows.transfer import transfer as try_clone

        with Display(quiet=as_json) as display:
            found = try_clone(
                run, epsilons=epsilon or EPSILONS, methods=method or METHODS, rows=rows, seed=seed,
                progress=display.step, **keys,
            )  # fmt: skip
        if as_json:
            write_out(found.model_dump_json(indent=2) + "\n")
            return
        lost = f" and {found.lost:,} lost" if found.lost else ""
        write_out(
            f"{found.right:,} of {found.rows:,} test rows were named rightly and changed; "
            f"{found.queries:,} rows answered{lost}, counted apart\n"
        )
        for one in found.found:
            wrong, of_clone = one.fooled, one.fooled_clone
            write_out(
                f"epsilon {one.epsilon:<5g} {one.method:<6} fools the model on {wrong.value:6.1%} "
                f"({wrong.low:.1%} to {wrong.high:.1%}), the clone on {of_clone.value:.1%}\n"
            )
        write_out(f"wrote {run / 'transfer.json'}; `clonecost report {run}` shows it\n")


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HEAD", help="A ledger head that was written down "
                     "elsewhere: it must be in the chain."),
    ] = None,
) -> None:  # fmt: skip
    """Is the ledger whole and unaltered, and are the run's files those that it records?"""
    with sentences():
        from clonecost.persistence.run_folder import runs_in
        from clonecost.workflows.verify import verify as check

        folders = runs_in(run)
        if head is not None and len(folders) > 1:
            raise SpecError(
                f"{run} holds several runs, and a head is of one.", Advice("name one of the runs"),
                got=len(folders), want=1,
            )  # fmt: skip
        found = [(folder, check(folder, head=head)) for folder in folders]
        for folder, one in found:
            for note in one.notes:
                errors.print(f"{folder}: {note}", markup=False)
            for fault in one.faults:
                errors.print(f"{folder}: {fault}", style="red", markup=False)
        if any(one.faults for _, one in found):
            raise typer.Exit(2)
        for folder, one in found:
            write_out(f"{folder}: every row is accounted for, nothing was altered\n")
            write_out(f"head {one.head}\n")
        if head is None:
            errors.print(
                "tamper-evident against the printed head: --head HEAD checks one that was written "
                "down elsewhere", markup=False,
            )  # fmt: skip
