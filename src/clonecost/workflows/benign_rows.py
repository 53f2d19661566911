"""More honest rows: a data set is sent to the victim of a run, every row counted apart."""

import hashlib
import json
from collections.abc import Container
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import torch

from clonecost.config import (
    load_attacked,
    load_test,
    lost_limit,
    make_defence,
    must_consent,
    takes_of,
)
from clonecost.data import load
from clonecost.defences import defend
from clonecost.detectors.base import Stream
from clonecost.errors import Advice, RunError, RunWorkflow
from clonecost.evaluation.scoring import BATCH
from clonecost.monitoring.ledger_stream import stream_of
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import row_digests
from clonecost.persistence import run_folder
from clonecost.result import Result
from clonecost.types import Progress, no_progress
from clonecost.workflows.agreements import Either, remember, remembered
from clonecost.workflows.run import spec_of


def ask_benign(
    run: Path, result: Result, name: str, *, rows: int, seed: int = 0,
    progress: Progress = no_progress, consent: Container[str] = (),
) -> Stream:  # fmt: skip
    """Send test rows of a data set to the victim of a run, behind its defences and output policy.

    They are counted in a ledger of their own under `run/benign/`, with which the same call answers
    without a query, or goes on after a crash.

    Args:
        result: of the run.
        name: a data set, or the path of one's own.
        rows: the most rows that are sent, drawn at random.

    Raises:
        RunError: the run attacked a table or another model.
        ConsentError: the run's spec would run or contact what the person has not agreed to.
        CloneCostError: the data cannot be loaded, or the victim cannot be queried.
    """
    spec = spec_of(run)
    if (takes := takes_of(spec)) != "images":
        kind = "texts" if takes == "text" else "a table"
        raise RunError(
            f"{run} attacked {kind}, and honest rows of a data set are images",
            Advice("take another run on the same model as honest traffic"),
        )
    agreed = Either(consent, remembered(run, spec))
    must_consent(spec, agreed, where=str(run / run_folder.SPEC))
    remember(run, spec)
    shape = tuple(result.threat.input_shape)
    data = load(
        name, "test", root=spec.data, shape=shape, progress=progress, background=spec.background
    )
    data = data.take(
        torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:rows]
    )
    victim, threat = load_attacked(spec, load_test(spec, progress), progress, consent=agreed)
    if victim.weights != result.victim.weights:
        raise RunError(
            f"{victim.name} has other weights than the model that {run} attacked",
            Advice("restore that model, or audit this one"),
        )
    threat = replace(threat, query_budget=len(data))
    identity = json.dumps(
        [victim.name, victim.weights, asdict(threat), spec.defence, data.fingerprint]
    )
    folder = run_folder.make(
        run, run_folder.BENIGN, hashlib.sha256(identity.encode()).hexdigest()[:12]
    )
    ledger = Ledger(
        folder / run_folder.LEDGER, audit=identity, input_shape=threat.input_shape,
        num_classes=threat.num_classes,
    )  # fmt: skip
    with closing(ledger):
        oracle = Oracle(
            defend(victim.answer, *(make_defence(text) for text in spec.defence)), threat, ledger,
            rows_in_flight=victim.rows_in_flight, max_lost=lost_limit(spec),
            resume=RunWorkflow("detect", run),
        )  # fmt: skip
        answers = []
        for part in torch.arange(len(data)).split(BATCH):
            answers.append(oracle(data.rows(part)))
            progress("honest rows", oracle.spent, len(data))
        head = ledger.head
    with closing(Ledger.reopen(run / run_folder.LEDGER)) as ledger:
        path = (folder / run_folder.LEDGER).relative_to(run).as_posix()
        ledger.record_files({**(ledger.files or {}), path: f"chain:{head}"})
    return stream_of(row_digests(data.inputs), torch.cat(answers), threat.answers, data.inputs)
