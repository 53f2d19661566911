"""Train another student on what a run had bought, without the victim."""

import json
import time
from contextlib import closing
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, JsonValue

from clonecost.config import asks_proxy, make_device, of_table, proxy_name, test_name
from clonecost.data import load
from clonecost.errors import LedgerError, RunError
from clonecost.evaluation.scoring import Reference, score
from clonecost.networks import build
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import row_digests
from clonecost.persistence import run_folder
from clonecost.result import Score
from clonecost.training.distill import Recipe, distill
from clonecost.types import Progress, no_progress
from clonecost.workflows.run import spec_of


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
