"""Transfer: adversarial examples made on a clone are sent to the victim of its run."""

import hashlib
import json
import time
from collections.abc import Container, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from clonecost.attacks import Attack
from clonecost.attacks.frozen_head import FrozenHead
from clonecost.audit.definition import name_of, settings_of
from clonecost.audit.resumption import must_recall, recall
from clonecost.backbones import with_head
from clonecost.config import (
    load_attacked,
    load_test,
    lost_limit,
    make_attack,
    make_defence,
    make_device,
    must_consent,
    numbered_for,
    student_name,
    takes_of,
)
from clonecost.config.defaults import must_give_one_class
from clonecost.defences import defend, must_fit
from clonecost.errors import Advice, RunError, RunWorkflow, SetKey, SpecError, suggest
from clonecost.evaluation.adversarial_transfer import METHODS, Method, max_queries
from clonecost.evaluation.adversarial_transfer import transfer as ask_examples
from clonecost.networks.pretrained import Pretrained
from clonecost.networks.soft_vote import SoftVote
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.persistence.disk import file_digest
from clonecost.result import Transfer, read_result
from clonecost.students import load_student
from clonecost.types import Progress, no_progress
from clonecost.workflows.agreements import Either, remember, remembered
from clonecost.workflows.run import spec_of

EPSILONS = (0.03, 0.1)
ROWS = 500


def transfer(
    run: Path, *, epsilons: Sequence[float] = EPSILONS, methods: Sequence[str] = METHODS,
    rows: int = ROWS, seed: int | None = None, max_lost: int | None = None,
    progress: Progress = no_progress, consent: Container[str] = (),
) -> Transfer:  # fmt: skip
    """Make adversarial examples on the clone of a finished run and send them to its victim.

    Writes `run/transfer.json`. Every row is counted, in a ledger under `run/transfers/`, with which
    the same call resumes after a crash.

    Args:
        run: the folder of a finished run on images.
        epsilons: the largest changes of a pixel, each in (0, 1].
        methods: names in `METHODS`.
        rows: test rows, drawn at random by `seed`; all of them if there are fewer.
        seed: of the rows, of noise and random starts; None: the run's own, so that several seeds
            of an attack use different rows.
        max_lost: rows that may be paid without an answer; None: the spec's limit.
        consent: what the person agreed to, as KIND:WHAT; what was agreed to for the run holds.

    Raises:
        ConsentError: the run's spec would run or contact what the person has not agreed to.
        RunError: the run attacked a table or another model, has not finished, or its clone cannot
            be built.
        SpecError: a method is unknown, or an epsilon or number is out of range.
        CloneCostError: the victim cannot be queried, as in an audit.

    Example:
        >>> transfer(Path("runs/lenet"), epsilons=[0.1]).found[0].fooled  # doctest: +SKIP
        Rate(value=0.41, low=0.37, high=0.45)
    """
    chosen = _checked(methods, epsilons, rows)
    spec = spec_of(run, max_lost=max_lost)
    if (takes := takes_of(spec)) != "images":
        kind = "texts" if takes == "text" else "a table"
        raise RunError(
            f"{run} attacked {kind}, and adversarial examples are made of images",
            Advice("choose a run that attacked images"),
        )
    must_give_one_class(spec, "An adversarial example")
    result = read_result(run)  # raises if the run has not finished
    agreed = Either(consent, remembered(run, spec))
    must_consent(spec, agreed, where=str(run / run_folder.SPEC))
    remember(run, spec)
    seed = result.provenance.seed if seed is None else seed
    began = time.monotonic()
    device = make_device(spec.device)
    attack = make_attack(spec.attack[0], spec.set)
    clone = load_clone(run, student_name(spec), attack).to(device)
    test = load_test(spec, progress)
    victim, threat = load_attacked(spec, test, progress, consent=agreed)
    test = numbered_for(spec, test, victim)
    if victim.weights != result.victim.weights:
        raise RunError(
            f"{victim.name} has other weights than the model that {run} attacked",
            Advice("restore that model, or audit this one"),
        )
    rng = torch.Generator().manual_seed(seed)
    test = test.take(torch.randperm(len(test), generator=rng)[:rows])
    threat = replace(threat, query_budget=max_queries(len(test), chosen, epsilons))
    defences = [make_defence(text) for text in spec.defence]
    must_fit(defences, threat)
    clone_digest = file_digest(run / run_folder.CLONE)
    identity = json.dumps(
        [victim.name, victim.weights, asdict(threat),
         [[name_of(one), settings_of(one)] for one in defences], clone_digest, list(chosen),
         list(epsilons), len(test), seed]
    )  # fmt: skip
    name = hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder = run_folder.make(run, run_folder.TRANSFERS, name)
    ledger = Ledger(
        folder / run_folder.LEDGER, audit=identity, input_shape=threat.input_shape,
        num_classes=threat.num_classes,
    )  # fmt: skip
    with closing(ledger):
        must_recall(defences, threat, ledger, Advice("remove that folder to begin again"))
        defended = defend(victim.answer, *defences)
        recall(defences, defended, ledger)
        oracle = Oracle(
            defended, threat, ledger, rows_in_flight=victim.rows_in_flight,
            max_lost=lost_limit(spec), resume=RunWorkflow("transfer", run),
        )  # fmt: skip
        right, found = ask_examples(
            oracle, clone, test, methods=chosen, epsilons=epsilons, seed=seed,
            device=device, progress=progress,
        )  # fmt: skip
        outcome = Transfer(
            rows=len(test), right=right, labelled=test.labelled, queries=oracle.spent,
            lost=ledger.lost, seed=seed, found=found, seconds=time.monotonic() - began,
            ledger=(folder / run_folder.LEDGER).relative_to(run).as_posix(),
            ledger_head=ledger.head, clone=clone_digest,
        )  # fmt: skip
    text = outcome.model_dump_json(indent=2) + "\n"
    with closing(Ledger.reopen(run / run_folder.LEDGER)) as ledger:
        ledger.record_files({
            **(ledger.files or {}),
            outcome.ledger: f"chain:{outcome.ledger_head}",
            run_folder.TRANSFER: run_folder.digest_of(text),
        })  # fmt: skip
    run_folder.write(run / run_folder.TRANSFER, text)  # last: a written file is a recorded one
    return outcome


def load_clone(run: Path, student: str, attack: Attack | None = None) -> nn.Module:
    """The clone of a finished run, in eval mode: pixels in [0, 1] -> logits.

    Args:
        student: of the run's spec. A file that names another one is not followed, because a
            student may be anybody's code, and this one was agreed to.
        attack: of the run's spec, with its settings: `frozen_head` builds its clone on a backbone.

    Raises:
        RunError: the run has no clone yet, or its network is unknown to clonecost.
    """
    path = run / run_folder.CLONE
    if not path.is_file():
        raise RunError(f"{run} has no clone yet", RunWorkflow("resume", run))
    about: dict[str, str] = {}
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["clonecost"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shape, classes = tuple(json.loads(about["input_shape"])), int(about["num_classes"])
        members = int(about.get("members", 1))
        if about["network"] != student:
            raise KeyError("network")
        if isinstance(attack, FrozenHead):
            clone = _on_backbone(attack, classes, tensors)
        else:
            make = load_student(student, shape, classes).make
            parts = [make() for _ in range(members)]
            clone = SoftVote(parts) if "members" in about else parts[0]
        clone.load_state_dict(tensors)
    except SpecError as error:
        raise RunError(
            f"The clone in {path} cannot be built: {error.fact}", *error.remedies
        ) from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise RunError(
            f"The clone in {path} cannot be built: its network is "
            f"{about.get('network', 'not named')!r}",
            RunWorkflow("verify", run),
        ) from error
    return clone.eval()


def _on_backbone(attack: FrozenHead, classes: int, tensors: dict[str, Tensor]) -> nn.Module:
    """The clone of `frozen_head`, with weights that are still to be loaded: solved, or trained."""
    backbone = attack.public()
    if not any(True for _ in backbone.as_module(frozen=True).parameters()):
        raise SpecError(
            f"The backbone {backbone.name!r} gives no gradients, of which adversarial examples are "
            "made",
            Advice("attack with a backbone that is a torch module"),
        )
    if any(name.startswith("encoder.") for name in tensors):
        return Pretrained(backbone.as_module(frozen=True), backbone.features, classes)
    weight = torch.zeros(classes, backbone.features, dtype=torch.float64)
    return with_head(backbone, weight, weight[:, 0].contiguous())


def _checked(methods: Sequence[str], epsilons: Sequence[float], rows: int) -> tuple[Method, ...]:
    for name in methods:
        if name not in METHODS:
            raise SpecError(suggest("method", name, list(METHODS)), SetKey("method"))
    for epsilon in epsilons:
        if not 0 < epsilon <= 1:
            raise SpecError(
                "epsilon is out of range, as pixels are in [0, 1]",
                SetKey("epsilon"), got=f"{epsilon:g}", want="above 0 and at most 1",
            )  # fmt: skip
    if rows < 1 or not epsilons or not methods:
        raise SpecError("A transfer needs at least one row, one method and one epsilon")
    return cast(tuple[Method, ...], tuple(dict.fromkeys(methods)))
