"""The command `report`: the report of runs in five formats, a gate on them, two runs compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, sentences
from clonecost.cli.fail_above import judged, limits_of, outcomes
from clonecost.cli.options import FailAbove
from clonecost.cli.terminal import write_out
from clonecost.errors import Advice, SetKey, SpecError, suggest

if TYPE_CHECKING:
    from clonecost.report import Run

FORMATS = ("html", "md", "json", "sarif", "junit")
OF_A_COMPARISON = ("html", "md", "json")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders "
                                               "of run folders.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="File to write; - is "
                   "standard output. [default: for html report.html in the first RUN, or "
                   "comparison.html in AFTER; else standard output]")] = None,
    format_: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS),
                                         help="Format of the report.")] = "html",
    fail_above: FailAbove = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare two runs, or two folders of "
                       "runs matched by attack and seed: report --compare BEFORE AFTER.")] = False,
) -> None:  # fmt: skip
    """Write the report of one or several runs: verdict, advice, cost, curves, threat model."""
    with sentences():
        formats = OF_A_COMPARISON if compare else FORMATS
        if format_ not in formats:
            raise SpecError(suggest("format", format_, formats), SetKey("format"))
        limits = limits_of(fail_above)
        if compare:
            if limits:
                raise SpecError(
                    "--fail-above and --compare do not go together",
                    Advice("report on one side with --fail-above"),
                )
            _comparison(runs, out, format_)
            return
        from clonecost import report as pages

        found = _load(runs)
        documents = pages.read_documents(runs)
        results = [run.result for run in pages.attacks_of(found, documents)]
        status, said = judged(limits, results)  # refused before anything is written
        match format_:
            case "html":
                text = pages.html(found, documents)
            case "md":
                text = pages.markdown(found, documents)
            case "json":
                text = pages.as_json(found, documents)
            case "sarif":
                text = pages.sarif(found, documents, outcomes(limits, results))
            case _:
                text = pages.junit(found, documents, outcomes(limits, results))
        _write(text, out, runs[0] / "report.html" if format_ == "html" else None)
        for sentence in said:
            errors.print(sentence, style="red", markup=False)
    if status:
        raise typer.Exit(status)


def _load(paths: list[Path]) -> "list[Run]":
    """The finished runs of the folders; those that did not finish are named."""
    from clonecost import report as pages
    from clonecost.persistence import run_folder

    found = [folder for path in paths for folder in pages.folders_of(path)]
    finished = [folder for folder in found if (folder / run_folder.RESULT).is_file()]
    for folder in found:
        if folder not in finished and finished:
            errors.print(
                f"left out: {folder} did not finish; `clonecost resume {folder}` goes on",
                style="yellow", markup=False,
            )  # fmt: skip
    return pages.load_runs(finished or found)


def _comparison(runs: list[Path], out: Path | None, format_: str) -> None:
    from clonecost.report import comparison

    if len(runs) != 2:
        raise SpecError(
            "--compare takes two runs, or two folders of runs", got=len(runs), want="BEFORE AFTER"
        )
    found = comparison.compare(*(_attacks(path) for path in runs))
    if format_ == "json":
        text = comparison.comparison_json(found)
    else:
        from clonecost.report import html_page, markdown_text
        from clonecost.report.comparison_page import comparison_report

        page = comparison_report(found)
        text = html_page(page) if format_ == "html" else markdown_text(page)
    _write(text, out, runs[1] / "comparison.html" if format_ == "html" else None)


def _attacks(path: Path) -> "list[Run]":
    """The runs of one side, without those that a panel made as measures."""
    from clonecost import report as pages

    return pages.attacks_of(_load([path]), pages.read_documents([path]))


def _write(text: str, out: Path | None, default: Path | None) -> None:
    from clonecost.persistence import run_folder

    target = out or default
    if target is None or str(target) == "-":
        write_out(text)
        return
    run_folder.write(target, text, private=out is None)
    errors.print(f"wrote {target}", markup=False)
