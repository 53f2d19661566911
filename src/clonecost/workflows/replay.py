"""Train another student on the answers of a run, without the victim."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, JsonValue
from torch import nn

from clonecost.config import make_device, proxy_name, sends_proxy, takes_of, test_name
from clonecost.config.defaults import multi_label
from clonecost.data import load, load_proxy
from clonecost.data.part_rows import held
from clonecost.errors import Advice, LedgerError, RunError, RunWorkflow
from clonecost.evaluation.scoring import Reference, score
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import row_digests
from clonecost.persistence import run_folder
from clonecost.result import Score
from clonecost.students import student_of
from clonecost.students.load import of_labels
from clonecost.training.recipes import shared_recipe, train
from clonecost.types import Progress, no_progress
from clonecost.workflows.run import spec_of

LONGEST = 100  # characters of a student in the name of a file


class Replay(BaseModel):
    """Another student, trained on the answers of a run.

    Attributes:
        rows: the number of training rows.
        score: on the test set, against the run's victim.
        seconds: duration of training and scoring.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    student: str
    recipe: dict[str, JsonValue]
    seed: int
    rows: int
    score: Score
    seconds: float


def replay(
    run: Path, student: str | Callable[..., nn.Module] | nn.Module, *, seed: int = 0,
    epochs: int | None = None, progress: Progress = no_progress,
) -> tuple[Path, Replay]:  # fmt: skip
    """Train `student` with the shared recipe on all paid rows of `run`. Sends no query.

    The student is scored against the run's own answers of the victim on the test set, and written
    to `run/replays/`.

    Args:
        student: as `Audit` takes it. Code that its name says is run.
        seed: of all random numbers.
        epochs: of training; None: the recipe's.

    Returns:
        (the JSON file of the replay, the replay)

    Raises:
        LedgerError: the run did not keep its inputs, or its data have changed.
        RunError: the run attacked a table, or has a countermeasure.
        SpecError: `student` is unknown, or does not fit.

    Example:
        >>> path, half = replay(Path("runs/lenet"), "half-lenet")  # doctest: +SKIP
    """
    spec = spec_of(run)
    if (takes := takes_of(spec)) != "images":
        kind = "texts" if takes == "text" else "a table"
        raise RunError(
            f"{run} attacked {kind}, whose clone is the attack's own: no other student can be "
            "trained",
            Advice("choose a run that attacked images"),
        )
    if spec.counter:
        raise RunError(
            f"{run} has the countermeasure {spec.counter}, and a replay trains on the answers as "
            "they were served",
            Advice("choose a run without a countermeasure"),
        )
    began = time.monotonic()
    device = make_device(spec.device)
    with closing(Ledger.read(run / run_folder.LEDGER)) as ledger:
        shape, classes = ledger.input_shape, ledger.num_classes
        proxy = None
        if sends_proxy(spec):
            proxy = load_proxy(
                proxy_name(spec), root=spec.data, shape=shape, progress=progress,
                background=spec.background,
            )  # fmt: skip
        inputs, answers = ledger.bought_rows(proxy.inputs if proxy else None)
        test = load(
            test_name(spec), "test", root=spec.data, shape=shape, progress=progress,
            background=spec.background,
        )  # fmt: skip
        several = multi_label(spec)
        loaded = (
            of_labels(student_of(student, shape, classes // 2))
            if several
            else student_of(student, shape, classes)
        )
        victim_answers = ledger.recorded("evaluation", 0, len(test))
    if victim_answers is None or len(victim_answers.answers) != len(test):
        raise LedgerError(
            f"{run} does not have all of the victim's answers on {test.name}",
            RunWorkflow("resume", run),
        )
    if victim_answers.digests != row_digests(test.inputs):
        raise LedgerError(
            f"{test.name} has other rows than the test set of {run}",
            Advice("restore the test set of the run"),
        )
    rng = torch.Generator(device).manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = loaded.make().to(device)
    recipe = shared_recipe(net, epochs)
    rows = held(inputs, device)
    train(net, rows, answers.to(device), recipe, rng=rng, progress=progress)
    reference = Reference(test.to(device), victim_answers.answers.to(device), multi_label=several)
    result = Replay(
        student=loaded.name, recipe=json.loads(json.dumps(vars(recipe))), seed=seed,
        rows=len(inputs), score=score(net, reference, queries=len(inputs)),
        seconds=time.monotonic() - began,
    )  # fmt: skip
    folder = run_folder.make(run, run_folder.REPLAYS)
    about = {"network": loaded.name, "input_shape": json.dumps(shape), "num_classes": str(classes)}
    target = f"{_file_name(loaded.name)}-seed{seed}"
    run_folder.write_network(folder / f"{target}.safetensors", net, about)
    run_folder.write(folder / f"{target}.json", result.model_dump_json(indent=2) + "\n")
    return folder / f"{target}.json", result


def _file_name(student: str) -> str:
    """The student's name in characters of a file name, with a digest if any had to be changed."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", student).strip("-.")[:LONGEST]
    if plain == student:
        return plain
    return f"{plain}-{hashlib.sha256(student.encode()).hexdigest()[:6]}"
