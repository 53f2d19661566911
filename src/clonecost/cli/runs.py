"""The commands that read a run folder: `replay`, `transfer`, `verify`, `export`, `salvage`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, in_run, sentences
from clonecost.cli.list import names
from clonecost.cli.options import OF_A_RUN, AsJson, Consent, Seed, takes_keys
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import write_out
from clonecost.config.schema import Spec
from clonecost.errors import Advice, SpecError


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that kept its inputs.")],
    student: Annotated[
        str, typer.Option("--student", metavar="NET[,KEY=VALUE,...]",
                          autocompletion=names("networks"),
                          help="A network in `clonecost list networks`, or another student (see "
                          "students.md); code that it names is run.")
    ],
    seed: Seed = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Epochs of training. "
                                               "[default: 60]")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train another student on the answers of a run. Sends no query to the victim."""
    with sentences(place=in_run(run)):
        from clonecost.workflows.replay import replay as train_again

        with Display(quiet=as_json) as display:
            path, result = train_again(
                run, student, seed=seed, epochs=epochs, progress=display.step
            )
        if as_json:
            write_out(path.read_text(encoding="utf-8"))
            return
        from clonecost.result import percent

        agreement, accuracy = result.score.agreement, result.score.accuracy
        write_out(
            f"{student} trained on {result.rows:,} paid rows: agreement {agreement}, accuracy "
            f"{percent(accuracy.value) if accuracy else 'not known'}; no query was sent\n"
            f"wrote {path}\n"
        )


@app.command()
@takes_keys(Spec, "max_lost", words=OF_A_RUN)
def transfer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run on images.")],
    keys: dict[str, Any],
    epsilon: Annotated[
        list[float] | None,
        typer.Option("--epsilon", metavar="NUMBER", help="The largest change of a pixel in "
                     "[0, 1]; several may be given. [default: 0.03, 0.1]"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="fgsm|pgd|mim", help="A method that makes adversarial "
                     "examples; several may be given. [default: all]"),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", metavar="ROWS",
                                      help="Number of test rows to start from.")] = 500,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of all random "
                                             "numbers. [default: the run's]")] = None,
    as_json: AsJson = False,
    consent: Consent = None,
) -> None:  # fmt: skip
    """Send adversarial examples made on the clone to the victim. All rows are counted apart."""
    with sentences(place=in_run(run, "max_lost", "epsilon", "method", "rows", "seed", "consent")):
        from clonecost.config import checked_consent
        from clonecost.evaluation.adversarial_transfer import METHODS
        from clonecost.workflows.transfer import EPSILONS
        from clonecost.workflows.transfer import transfer as send_examples

        agreed = checked_consent(consent or [])
        with Display(quiet=as_json) as display:
            result = send_examples(
                run, epsilons=epsilon or EPSILONS, methods=method or METHODS, rows=rows, seed=seed,
                progress=display.step, consent=agreed, **keys,
            )  # fmt: skip
        if as_json:
            write_out(result.model_dump_json(indent=2) + "\n")
            return
        from clonecost.result import percent

        start = f"The victim classified {result.right:,} of {result.rows:,} test rows correctly"
        if not result.labelled:
            start = (
                f"The test set has no labels, so the victim's answer stands for the class of all "
                f"{result.rows:,} test rows"
            )
        lost = f" and {result.lost:,} lost" if result.lost else ""
        write_out(
            f"{start}; these were changed. {result.queries:,} rows answered{lost}, counted apart\n"
        )
        for strength in result.found:
            write_out(
                f"epsilon {strength.epsilon:<5g} {strength.method:<6} misclassified by the victim: "
                f"{strength.fooled}, by the clone: {percent(strength.fooled_clone.value)}\n"
            )
        write_out(f"wrote {run / 'transfer.json'}; `clonecost report {run}` shows it\n")


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HEAD", help="A ledger head that was kept outside the run "
                     "folder: it must be in the chain."),
    ] = None,
) -> None:  # fmt: skip
    """Check that the ledger is whole and unaltered, and that it records the run's files."""
    with sentences():
        from clonecost.persistence.run_folder import runs_in
        from clonecost.workflows.verify import verify as check

        folders = runs_in(run)
        if head is not None and len(folders) > 1:
            raise SpecError(
                f"{run} holds several runs, and a head belongs to one run",
                Advice("name one of the runs"), got=len(folders), want=1,
            )  # fmt: skip
        verified = [(folder, check(folder, head=head)) for folder in folders]
        for folder, verification in verified:
            for note in verification.notes:
                errors.print(f"{folder}: {note}", markup=False)
            for fault in verification.faults:
                errors.print(f"{folder}: {fault}", style="red", markup=False)
        if any(verification.faults for _, verification in verified):
            raise typer.Exit(2)
        for folder, verification in verified:
            write_out(f"{folder}: every row is accounted for, nothing was altered\n")
            write_out(f"head {verification.head}\n")
        if head is None:
            errors.print(
                "A ledger that was rewritten as a whole passes this check; only --head, with a "
                "head that was kept elsewhere, detects it", markup=False,
            )  # fmt: skip


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a folder of run "
                                        "folders.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the copy; it must not "
                                        "exist yet.")],
) -> None:  # fmt: skip
    """Copy a run folder whole, also while the run goes on."""
    with sentences():
        from clonecost.persistence.run_folder import runs_in
        from clonecost.workflows.export import export as copy

        for folder in runs_in(run):
            target = out if folder == run else out / folder.name
            made = copy(folder, target)
            state = "finished" if made.finished else "unfinished; `clonecost resume` goes on"
            write_out(f"{target}: {made.rows:,} rows, {state}\nhead {made.head}\n")


@app.command()
def salvage(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[Path | None, typer.Argument(metavar="OUT", help="A new folder. "
                                               "[default: RUN-salvaged]")] = None,
) -> None:  # fmt: skip
    """Write the answers that can still be read of a damaged ledger to OUT/salvaged.npz."""
    with sentences():
        from clonecost.workflows.salvage import SALVAGED
        from clonecost.workflows.salvage import salvage as rescue

        target = out or run.with_name(f"{run.name}-salvaged")
        made = rescue(run, target)
        rows = ", ".join(
            f"{count:,} rows of the account {name}" for name, count in made.rows.items()
        )
        write_out(f"{target / SALVAGED}: {rows}; {made.unread:,} batches could not be read\n")
        errors.print("what was read is not verified: a damaged ledger proves nothing", markup=False)
