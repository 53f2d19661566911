"""What one does with run folders: run a spec, resume, plan, replay to another student, verify."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from pydantic import BaseModel, ConfigDict, JsonValue

from clonecost import run_folder
from clonecost.audit import Audit, Watcher, check, run_audit
from clonecost.audit.spot_check import ROWS
from clonecost.chain import row_digests
from clonecost.data import Split, load
from clonecost.data.tables import load_table
from clonecost.distill import Recipe, distill
from clonecost.errors import DataError, LedgerError, RunError
from clonecost.evaluate import Reference, score
from clonecost.generators import CARD, cached_generator, is_path, row_and_epochs
from clonecost.ledger import Ledger
from clonecost.networks import build
from clonecost.report.text import duration
from clonecost.result import Result, Score, read_result
from clonecost.spec import (
    Spec,
    asks_proxy,
    audits,
    default_milestones,
    endpoint_url,
    generators_of,
    load_parts,
    lost_limit,
    make_attack,
    make_device,
    needs_proxy,
    of_table,
    proxy_name,
    read_spec,
    singles,
    student_name,
    test_name,
    to_toml,
    victim_shape,
)
from clonecost.types import LabelledInputs, Progress, no_progress
from clonecost.victims import file_digest
from clonecost.victims.endpoints import RATE, EndpointSettings, is_local, least_seconds, refusal
from clonecost.zoo import VICTIMS, is_trained

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
            yield audit.out, done[k] or run_audit(audit, watch(audit))
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


# -- plan ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What an audit would do. Nothing was sent, trained or downloaded for it."""

    lines: list[tuple[str, str]]  # (what, the fact)
    missing: list[str]  # what the audit would have to make or fetch first


def plan(spec: Spec) -> Plan:
    """What would be asked, what it would cost, and what is missing."""
    runs = singles(spec, Path())
    rows = spec.budget * len(runs)
    lines = [("victim", spec.victim), ("student", student_name(spec))]
    for name in spec.attack:
        attack = make_attack(name, spec.set)
        lines.append((name, attack.plan(spec.budget)))
    test = test_name(spec)
    lines.append(("runs", f"{len(spec.attack)} attack(s) x {len(spec.seed)} seed(s)"))
    lines.append(("queries", f"at most {rows:,} of the attacks, all counted"))
    missing, count = _survey(spec, test)
    count *= len(runs)
    if count:
        even = " and uniform ones" if of_table(spec) and spec.uniform else ""
        lines.append(
            ("evaluation", f"{count:,} rows of {test}{even}, apart, from the undefended victim")
        )
    if spec.price is not None:
        lines.append(
            ("money", f"at most ${rows * spec.price / 1000:,.2f} for the attacks' queries")
        )
    if spec.access == "white-box":
        lines.append(("access", "white box: a reference, not an attack through the API"))
    lines += _endpoint(spec, rows + count, len(runs))
    lines.append(("answers", f"{spec.answers}, inputs {spec.input_precision}"))
    lines.append(("defences", ", ".join(spec.defence) or "none"))
    return Plan(lines, missing)


def _endpoint(spec: Spec, rows: int, runs: int) -> Iterator[tuple[str, str]]:
    """Of a remote victim: how it would be asked, who allows it, how long it takes, what it risks.

    Args:
        rows: of the attacks and of the evaluation, over all runs.
    """
    url = endpoint_url(spec)
    if url is None:
        return
    settings, rate = spec.endpoint or EndpointSettings(), spec.rate or RATE
    yield "endpoint", f"{url}, at most {rate:g} rows a second"
    if permit := spec.authorisation:
        words = f"{permit.granted_by} for {permit.owner}, {permit.date}: {permit.scope}"
    else:
        words = "none needed, it is this machine" if is_local(url) else "none yet"
    yield "permission", words
    known = "" if settings.latency is None else f" and {settings.latency:g} s a request"
    least = duration(least_seconds(rows, settings, rate))
    yield "time", f"at least {least} for {rows:,} rows at that rate{known}"
    if again := ROWS if spec.spot_check is None else spec.spot_check:
        yield "spot check", f"{again:,} rows more, when a run ends and each time that it resumes"
    lost = (lost_limit(spec) or 0) * runs
    words = f"at most {lost:,} rows more, should the endpoint fail to answer"
    if spec.price is not None:
        cost = (rows + lost) * spec.price / 1000
        words += f"; with them and the evaluation at most ${cost:,.2f}"
    yield "losses", words


def _survey(spec: Spec, test: str) -> tuple[list[str], int]:
    """What is missing, and how many test rows there are (0: unknown)."""
    if of_table(spec):
        return _survey_table(spec, test)
    found, count = [], 0
    loaded: dict[tuple[str, str], LabelledInputs] = {}
    wanted = [(test, "test")] + ([(proxy_name(spec), "train")] if needs_proxy(spec) else [])
    if spec.victim in VICTIMS and not is_trained(spec.victim):
        found.append(f"{spec.victim} is not trained yet: the audit trains it first")
        wanted.append((VICTIMS[spec.victim].dataset, "train"))
    url = endpoint_url(spec)
    if url and (reason := refusal(url, spec.authorisation)):
        found.append(reason)
    is_file = not url and Path(spec.victim).suffix and ":" not in spec.victim
    if is_file and not Path(spec.victim).is_file():
        found.append(f"there is no file {spec.victim}")
    for name, split in wanted:
        try:
            data = load(
                name, cast(Split, split), root=spec.data, shape=victim_shape(spec), download=False
            )
        except DataError as error:  # an unknown name is no missing one: that is raised
            found.append(str(error))
            continue
        loaded[name, split] = data
        count = len(data) if (name, split) == (test, "test") else count
    found += _untrained(spec, loaded.get((proxy_name(spec), "train")))
    return list(dict.fromkeys(found)), count


def _survey_table(spec: Spec, test: str) -> tuple[list[str], int]:
    path = Path(spec.victim)
    found = [f"there is no file {path}"] if path.suffix == ".skops" and not path.is_file() else []
    try:
        return found, len(load_table(test, "test")) + spec.uniform
    except DataError as error:
        return [*found, str(error)], 0


def _untrained(spec: Spec, proxy: LabelledInputs | None) -> Iterator[str]:
    """The generators that attacks want and nobody has trained."""
    for name in generators_of(spec):
        if is_path(name):
            if not (Path(name) / CARD).is_file():
                yield f"there is no trained generator in {name}"
            continue
        row, epochs = row_and_epochs(name)
        if proxy is None or cached_generator(row, proxy, epochs=epochs) is None:
            yield (
                f"the generator {name} is not trained on {proxy_name(spec)} yet: the audit trains "
                "it first, which costs time and no query"
            )


# -- replay --------------------------------------------------------------------------------------


class Replay(BaseModel):
    """Another student, trained on what a run had bought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    student: str
    recipe: dict[str, JsonValue]
    seed: int
    rows: int
    score: Score
    seconds: float


def replay(
    run: Path, student: str, *, seed: int = 0, epochs: int | None = None,
    progress: Progress = no_progress,
) -> tuple[Path, Replay]:  # fmt: skip
    """Train `student` with the shared recipe on all that `run` bought; the victim is not asked.

    Scored against the verdicts that the run bought. Written to `run/replays/`.

    Raises:
        LedgerError: the run did not keep its inputs, or its data have changed.
    """
    spec = spec_of(run)
    if of_table(spec):
        raise RunError(
            f"{run} attacked a table: its clone is solved for, there is no other student to train"
        )
    began = time.monotonic()
    device = make_device(spec.device)
    with closing(Ledger.read(run / run_folder.LEDGER)) as ledger:
        shape, classes = ledger.input_shape, ledger.num_classes
        proxy = None
        if asks_proxy(spec):
            proxy = load(proxy_name(spec), "train", root=spec.data, shape=shape, progress=progress)
        inputs, answers = ledger.bought(proxy.inputs if proxy else None)
        test = load(test_name(spec), "test", root=spec.data, shape=shape, progress=progress)
        verdicts = ledger.recorded("evaluation", 0, len(test))
    if verdicts is None or len(verdicts.answers) != len(test):
        raise LedgerError(f"{run} has not bought the victim's verdicts on {test.name}: resume it")
    if verdicts.digests != row_digests(test.inputs):
        raise LedgerError(
            f"{test.name} is not the test set whose verdicts {run} bought: bring that one back"
        )
    recipe = Recipe() if epochs is None else Recipe(epochs=epochs)
    rng = torch.Generator(device).manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build(student, shape, classes).to(device)
    distill(net, inputs.to(device), answers.to(device), recipe, rng=rng, progress=progress)
    reference = Reference(test.to(device), verdicts.answers.to(device))
    found = Replay(
        student=student, recipe=json.loads(json.dumps(vars(recipe))), seed=seed,
        rows=len(inputs), score=score(net, reference, queries=len(inputs)),
        seconds=time.monotonic() - began,
    )  # fmt: skip
    folder = run / "replays"
    run_folder.make(folder)
    about = {"network": student, "input_shape": json.dumps(shape), "num_classes": str(classes)}
    target = folder / f"{student}-seed{seed}"
    run_folder.write_network(target.with_suffix(".safetensors"), net, about)
    run_folder.write(target.with_suffix(".json"), found.model_dump_json(indent=2) + "\n")
    return target.with_suffix(".json"), found


# -- verify --------------------------------------------------------------------------------------


def verify(run: Path) -> list[str]:
    """What is wrong with a run: its ledger's chain, its kept inputs, its files. [] is nothing.

    Raises:
        LedgerError: the ledger is missing or cannot be read at all.
    """
    with closing(Ledger.read(run / run_folder.LEDGER)) as ledger:
        faults = ledger.verify()
        if faults or not (run / run_folder.RESULT).is_file():
            return faults
        return [*_altered(run, ledger), *_disagreements(read_result(run), ledger)]


def _altered(run: Path, ledger: Ledger) -> Iterator[str]:
    """The files whose digests the audit noted when it ended."""
    for name, digest in json.loads(ledger.fact("files") or "{}").items():
        path = run / name
        if not path.is_file():
            yield f"{name} is missing"
        elif file_digest(path) != digest:
            yield f"{name} was altered after the audit wrote it"


def _disagreements(result: Result, ledger: Ledger) -> Iterator[str]:
    attack, evaluation = ledger.totals("attack"), ledger.totals("evaluation")
    spot = ledger.totals("spot")
    rows = sum(purse.settled + purse.lost for purse in (attack, evaluation, spot))
    said_and_found = [
        ("head of the chain", result.provenance.ledger_head, ledger.head),
        ("rows in the ledger", result.provenance.ledger_rows, rows),
        ("rows spent", result.spent, attack.settled),
        ("rows lost", result.lost, attack.lost),
        ("rows of the evaluation", result.evaluation, evaluation.settled + evaluation.lost),
        (
            "rows of spot checks",
            result.spot_check.rows if result.spot_check else 0,
            spot.settled + spot.lost,
        ),
    ]
    for what, said, found in said_and_found:
        if said != found:
            yield f"result.json says {what} {said}, the ledger {found}"
