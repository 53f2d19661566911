"""Single runs of specs in whatever process or machine there is, several at once."""

import os
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clonecost.audit import Watcher
from clonecost.config import Spec
from clonecost.config.defaults import endpoint_url
from clonecost.errors import Advice, CloneCostError, RunError, SetKey
from clonecost.persistence import run_folder
from clonecost.persistence.run_store import RunStore
from clonecost.result import Result, read_result
from clonecost.safe_text import first_line
from clonecost.types import Progress, no_progress
from clonecost.victims.endpoints.shared_state import Purse
from clonecost.workers import Pool, Task, at_once
from clonecost.workflows.agreements import Either, remembered
from clonecost.workflows.run import Watch, finished, prepare, run_spec


@dataclass(frozen=True, kw_only=True)
class Single:
    """One run: a spec of one attack and one seed, and its folder.

    Attributes:
        title: in words, for messages.
        evaluation_of: the folder of a run that has paid for the evaluation, see `run_audit`.
    """

    title: str
    spec: Spec
    folder: Path
    evaluation_of: Path | None = None


def run_apart(
    spec: Spec, folder: Path, *, watch: Watch = lambda _: Watcher(),
    progress: Progress = no_progress, command: str = "", consent: Container[str] = (),
    evaluation_of: Path | None = None, purse: Purse | None = None, store: RunStore | None = None,
) -> CloneCostError | None:  # fmt: skip
    """Run a spec, or go on with it; its result is in its folder then.

    Args:
        store: where the folder's copy lies, which is fetched before and written in the end; the
            run goes on in this machine's folder of it.
        purse: where the rows of its endpoint are counted; None: where this process counts them.

    Returns:
        Why it failed; None: it did not.
    """
    try:
        if purse is not None:
            purse.use()
        with nullcontext(folder) if store is None else store.run(folder) as here:
            run_folder.make(here)
            for _ in run_spec(
                spec, here, watch=watch, progress=progress, command=command, consent=consent,
                evaluation_of=evaluation_of,
            ):  # fmt: skip
                pass
    except CloneCostError as error:
        return error
    except Exception as error:  # a fault in one run must not stop the others
        if os.environ.get("CLONECOST_TRACEBACK"):
            raise
        return CloneCostError(
            f"Unexpected {type(error).__name__}: {first_line(error)}",
            Advice("set CLONECOST_TRACEBACK=1, which shows where it arose"),
        )
    return None


def run_spec_apart(
    spec: Spec, out: Path, pool: Pool, *, progress: Progress = no_progress, command: str = "",
    consent: Container[str] = (), where: str = "The spec", notice: Callable[[str], object] = str,
    beat: Callable[[], object] = lambda: None, store: RunStore | None = None,
) -> list[tuple[Path, Result]]:  # fmt: skip
    """Run every audit of a spec at once; the folders, files and clones are those of `run_spec`.

    An audit that fails does not stop the others.

    Args:
        consent: what the person agreed to; it has to be picklable.
        notice: gets also a sentence for each audit that ends.
        beat: called about once a second in this process, to show what goes on.
        store: see `run_singles`.

    Returns:
        Each run folder with its result, in the order in which `run_spec` runs them.

    Raises:
        CloneCostError: of the first audit that failed; every paid answer is kept.
    """
    runs, _ = prepare(
        spec, out, progress=progress, command=command, consent=consent, where=where, notice=notice
    )
    todo = [
        Single(title=f"{single.attack[0]}, seed {single.seed[0]}", spec=single, folder=folder)
        for single, folder, result in runs if result is None
    ]  # fmt: skip
    failed, agreed = {}, Either(consent, remembered(out, spec))
    for ended, (place, error) in enumerate(
        run_singles(todo, pool, beat=beat, command=command, consent=agreed, store=store), 1
    ):
        how = f"failed: {error.fact}" if error else "ended"
        notice(f"{todo[place].title} {how} ({ended} of {len(todo)})")
        if error:
            failed[place] = error
    if failed:
        raise failed[min(failed)]
    return [(folder, read_result(folder)) for _, folder, _ in runs]


def run_singles(
    todo: Sequence[Single], pool: Pool, *, beat: Callable[[], object] = lambda: None,
    command: str = "", consent: Container[str] = (), store: RunStore | None = None,
) -> Iterator[tuple[int, CloneCostError | None]]:  # fmt: skip
    """Run the unfinished ones in a pool; yields the place of each as it ends, and why it failed.

    Args:
        beat: called about once a second in this process, to show what goes on.
        consent: what the person agreed to; it has to be picklable.
        store: where copies of the folders lie, from which the result of each is fetched here; with
            one the machines need no disk that they share.
    """
    tasks = [_task(one, command, consent, store) for one in todo]
    for place, error in at_once(tasks, pool, beat=beat):
        if store is not None:
            store.fetch(todo[place].folder)
        yield place, error or _not_here(todo[place])


def _task(one: Single, command: str, consent: Container[str], store: RunStore | None) -> Task:
    purse = Purse.here() if endpoint_url(one.spec) else None
    call = partial(
        run_apart, one.spec, one.folder, command=command, consent=consent,
        evaluation_of=one.evaluation_of, purse=purse, store=store,
    )  # fmt: skip
    return Task(
        title=one.title, folder=one.folder, call=call, at_home=store is None,
        any_gpu=":" not in one.spec.device, cpus=one.spec.cpus, gpus=one.spec.gpus,
    )  # fmt: skip


def _not_here(one: Single) -> RunError | None:
    """The error for a run that another machine finished in a folder of its own."""
    if finished(one.folder, one.spec) is not None:
        return None
    return RunError(
        f"{one.title} ended, and {one.folder} has no result of it: the machine that ran it does "
        "not write there.",
        SetKey("out"), Advice("name a folder on a disk that all machines share"),
    )  # fmt: skip
