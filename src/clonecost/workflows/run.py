"""Run the audits of a spec into their folders, and resume those that were started before."""

from collections.abc import Callable, Container, Iterator
from contextlib import closing
from pathlib import Path

from clonecost.audit import Audit, Watcher, check, run_audit
from clonecost.audit.resumption import must_hold_its_rows, set_aside
from clonecost.config import (
    Spec,
    audits,
    default_milestones,
    load_parts,
    must_consent,
    read_spec,
    singles,
    to_toml,
)
from clonecost.config.build import Parts
from clonecost.errors import Advice, RunError, RunWorkflow, SetKey
from clonecost.oracle.ledger import ACCOUNTS, Ledger
from clonecost.persistence import run_folder
from clonecost.result import Result, read_result
from clonecost.types import Progress, no_progress
from clonecost.workflows.agreements import Either, remember, remembered
from clonecost.workflows.costs import must_be_quick_enough

Watch = Callable[[Audit], Watcher]


def run_spec(
    spec: Spec, out: Path, *, watch: Watch, progress: Progress = no_progress, command: str = "",
    consent: Container[str] = (), where: str = "The spec", notice: Callable[[str], object] = str,
    parts: Parts | None = None, evaluation_of: Path | None = None,
) -> Iterator[tuple[Path, Result]]:  # fmt: skip
    """Run every audit of a spec, one after the other; yields each run folder with its result.

    Finished runs are not run again; interrupted ones are resumed.

    Args:
        out: the run folder, or the folder of the run folders if there are several runs.
        watch: the callbacks for each audit.
        command: the command line, for the record.
        consent: what the person agreed to, as KIND:WHAT (see `consents_needed`); `EVERYTHING` for
            a spec that the person wrote. It is remembered for the run folders.
        where: what holds the spec, for the message that asks for consent.
        notice: gets the hours and the memory of a new run, in words, before its first query.
        parts: those of the spec, if they are loaded; the caller has then checked how long it takes.
        evaluation_of: the folder of a run that has paid for the evaluation, see `run_audit`.

    Raises:
        ConsentError: the spec would run or contact what the person has not agreed to.
        CloneCostError: an audit cannot be run; every paid answer is kept.
    """
    runs, todo = prepare(
        spec, out, progress=progress, command=command, consent=consent, where=where, notice=notice,
        parts=parts,
    )  # fmt: skip
    for k, (_, folder, result) in enumerate(runs):
        yield (
            folder,
            result or run_audit(todo[k], watch(todo[k]), evaluation_of=evaluation_of),
        )


def prepare(
    spec: Spec, out: Path, *, progress: Progress = no_progress, command: str = "",
    consent: Container[str] = (), where: str = "The spec", notice: Callable[[str], object] = str,
    parts: Parts | None = None,
) -> tuple[list[tuple[Spec, Path, Result | None]], list[Audit]]:  # fmt: skip
    """The runs of a spec, with the results of those that have finished, and all of their audits.

    Every audit is checked before the first query; there are none when every run has finished. The
    arguments are those of `run_spec`.

    Raises:
        ConsentError: the spec would run or contact what the person has not agreed to.
        CloneCostError: an audit cannot be run.
    """
    runs = singles(spec, out)
    folders = dict([(out, spec), *((folder, single) for single, folder in runs)])
    for folder in folders:
        must_hold_its_rows(folder)
    unpaid = [
        folder for folder, single in folders.items() if not must_be_same_audit(folder, single)
    ]
    found = [(single, folder, finished(folder, single)) for single, folder in runs]
    if all(result for *_, result in found):
        return found, []
    agreed = Either(consent, remembered(out, spec))
    must_consent(spec, agreed, where=where)
    run_folder.make(out)  # refused here, before a victim is trained
    for folder, single in folders.items():
        remember(folder, single)
    loaded = parts is not None
    parts = parts or load_parts(spec, progress, consent=agreed)
    todo = audits(spec, parts, out, command)
    for audit in todo:  # all of them, before the first query
        check(audit)
    if not loaded and not any((folder / run_folder.LEDGER).is_file() for folder in folders):
        must_be_quick_enough(
            spec, parts.victim, parts.threat, len(parts.test), student=parts.student,
            notice=notice,
        )  # fmt: skip
    for folder in unpaid:
        if not (folder / run_folder.LEDGER).is_file():  # of several runs; one run looks itself
            set_aside(folder)
    if len(todo) > 1:
        run_folder.write(out / run_folder.SPEC, to_toml(spec))
    return found, todo


def must_be_same_audit(folder: Path, spec: Spec) -> bool:
    """Refuse to mix two audits in one folder, before anything is loaded or written.

    Returns:
        Whether the folder is empty or holds this audit; False: it holds a failed first attempt of
        another one, which has bought no row and does not claim the folder.
    """
    path = folder / run_folder.SPEC
    if not path.is_file():
        return True
    held = read_spec(path)
    before, now = held.fixed(), spec.fixed()
    differs = [key for key in before if before[key] != now[key]]
    if differs and _nothing_paid(folder):
        return False
    if differs:
        raise RunError(
            f"{folder} holds another audit, whose {differs[0]} is {before[differs[0]]!r}, not "
            f"{now[differs[0]]!r}",
            SetKey("out"), RunWorkflow("resume", folder),
        )  # fmt: skip
    if spec.budget < held.budget:
        raise RunError(
            f"The budget of {folder} can only grow",
            SetKey("budget", held.budget), got=spec.budget, want=f"at least {held.budget}",
        )  # fmt: skip
    return True


def _nothing_paid(folder: Path) -> bool:
    """Whether no row of the folder's run, or of the runs in its sub-folders, was answered.

    A folder with a spec and no ledger at all is no attempt of ours: its spec may be hand-written.
    """
    ledgers = [*folder.glob(run_folder.LEDGER), *folder.glob(f"*/{run_folder.LEDGER}")]
    return bool(ledgers) and not any(_paid(path) for path in ledgers)


def _paid(ledger: Path) -> int:
    with closing(Ledger.read(ledger)) as held:
        return sum(held.totals(account).settled for account in ACCOUNTS)


def finished(folder: Path, spec: Spec) -> Result | None:
    """The result of the finished run of exactly this spec; None if there is none."""
    path = folder / run_folder.SPEC
    if not (folder / run_folder.RESULT).is_file() or not path.is_file():
        return None
    return read_result(folder) if path.read_text(encoding="utf-8") == to_toml(spec) else None


def spec_of(run: Path, budget: int | None = None, max_lost: int | None = None) -> Spec:
    """The spec of a run folder, with another budget or limit of lost rows if one is given.

    Raises:
        RunError: the folder has no spec.
    """
    path = run / run_folder.SPEC
    if not path.is_file():
        made_in_python = (run / run_folder.LEDGER).is_file()
        if made_in_python:
            raise RunError(
                f"{run} was made from Python and has no {run_folder.SPEC}",
                Advice("call `run_audit` again with the same Audit"),
            )
        raise RunError(
            f"{run} is not a run folder: it has no {run_folder.SPEC}",
            Advice("give a folder that an audit wrote"),
        )
    spec = read_spec(path)
    if max_lost is not None:
        spec = spec.model_copy(update={"max_lost": max_lost})
    if budget is None:
        return spec
    larger: dict[str, object] = {"budget": budget}
    if spec.milestones is None and spec.panel is None:  # milestones below the first budget are past
        larger["milestones"] = [m for m in default_milestones(budget) if m > spec.budget]
    return spec.model_copy(update=larger)
