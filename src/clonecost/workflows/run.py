"""Run the audits of a spec into their folders; take up what was begun before."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from clonecost.audit import Audit, Watcher, check, run_audit
from clonecost.config import (
    Spec,
    audits,
    default_milestones,
    load_parts,
    read_spec,
    singles,
    to_toml,
)
from clonecost.errors import RunError
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.result import Result, read_result
from clonecost.types import Progress, no_progress

Watch = Callable[[Audit], Watcher]


def run_spec(
    spec: Spec, out: Path, *, watch: Watch, progress: Progress = no_progress, command: str = ""
) -> Iterator[tuple[Path, Result]]:
    """Run every audit of a spec, one after the other; yields each run folder with its result.

    Finished runs are not run again; interrupted ones go on.

    Raises:
        CloneCostError: with one sentence; what was bought until then is kept.
    """
    cut = singles(spec, out)
    for single, folder in [(spec, out), *cut]:
        _same_audit(folder, single)
    done = [finished(folder, single) for single, folder in cut]
    if not all(done):
        run_folder.make(out)  # rather refused now than after a victim was trained
        todo = audits(spec, load_parts(spec, progress), out, command)
        for audit in todo:  # all of them, before the first one pays
            check(audit)
        if len(todo) > 1:
            run_folder.write(out / run_folder.SPEC, to_toml(spec))
        for k, audit in enumerate(todo):
            yield audit.folder, done[k] or run_audit(audit, watch(audit))
    else:
        yield from ((folder, found) for (_, folder), found in zip(cut, done, strict=True) if found)


def _same_audit(folder: Path, spec: Spec) -> None:
    """Refuse to mix two audits in one folder, before anything is loaded or written."""
    path = folder / run_folder.SPEC
    if not path.is_file() or _nothing_bought(folder):
        return
    held = read_spec(path)
    before, now = held.fixed(), spec.fixed()
    differs = [key for key in before if before[key] != now[key]]
    if differs:
        raise RunError(
            f"{folder} holds another audit (its {differs[0]} is {before[differs[0]]!r}, not "
            f"{now[differs[0]]!r}): name another folder with --out, or go on with that one by "
            f"`clonecost resume {folder}`"
        )
    if spec.budget < held.budget:
        raise RunError(
            f"the budget of {folder} is {held.budget:,}: it can only grow, not to {spec.budget:,}"
        )


def _nothing_bought(folder: Path) -> bool:
    """A first try that failed, by a wrong --outputs maybe, does not bar its folder."""
    path = folder / run_folder.LEDGER
    if not path.is_file():
        return False
    with closing(Ledger.read(path)) as ledger:
        return ledger.totals("attack").settled + ledger.totals("evaluation").settled == 0


def finished(folder: Path, spec: Spec) -> Result | None:
    """The result of a run that this very spec has finished."""
    path = folder / run_folder.SPEC
    if not (folder / run_folder.RESULT).is_file() or not path.is_file():
        return None
    return read_result(folder) if path.read_text(encoding="utf-8") == to_toml(spec) else None


def spec_of(run: Path, budget: int | None = None, max_lost: int | None = None) -> Spec:
    """The spec of a run folder, with a larger budget or limit of losses if one is given.

    Raises:
        RunError: there is none.
    """
    path = run / run_folder.SPEC
    if not path.is_file():
        made_in_python = (run / run_folder.LEDGER).is_file()
        raise RunError(
            f"{run} was made from Python and has no {run_folder.SPEC}: call run_audit again with "
            "the same Audit"
            if made_in_python
            else f"{run} is not a run folder: it has no {run_folder.SPEC}"
        )
    spec = read_spec(path)
    if max_lost is not None:
        spec = spec.model_copy(update={"max_lost": max_lost})
    if budget is None:
        return spec
    larger: dict[str, object] = {"budget": budget}
    if spec.milestones is None:  # those below were scored, or passed: no student is trained there
        larger["milestones"] = [m for m in default_milestones(budget) if m > spec.budget]
    return spec.model_copy(update=larger)
