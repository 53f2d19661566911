"""What one audit is composed of, and what is refused before anything is sent."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from clonecost.attacks import ATTACKS
from clonecost.attacks.base import (
    Attack,
    check_access,
    name_of_attack,
    queries_per_iteration,
    refusal,
    required_generators,
)
from clonecost.audit.defaults import UNIFORM, Keep
from clonecost.errors import AnswersError, QueryError, SpecError
from clonecost.generators import TrainedGenerator
from clonecost.networks import build
from clonecost.persistence.intervals import EVERY
from clonecost.tabular.features import check_rows
from clonecost.types import AnswerKind, Compiled, Defence, LabelledInputs, ThreatModel, Victim
from clonecost.victims.loaded_victim import LoadedVictim, as_loaded

WITHOUT_DEFENCES = (
    "defences stand before the API, and a white-box reference reads the network behind it: run it "
    "without --defence"
)
OWN_MODEL = "a model of the attack's own"  # of a table: what it solves for is the clone
RANK: dict[AnswerKind, int] = {"label": 0, "top_k": 1, "probs": 2}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How an audit is run and evaluated.

    Attributes:
        device: where students, generators and a victim that is a module compute.
        keep: whether sent inputs are kept: "auto" keeps them if the first budget needs under
            256 MiB (rows of the proxy take 4 bytes each).
        compile: run the attack's generators ("generator"), or its students too ("all"), through
            torch.compile. Other rounding, so another run; pays from some 100,000 rows on.
        controls: also train students on random inputs and on the victim's own data.
        snapshot_every: seconds between snapshots, from which a killed run goes on.
        spot_check: rows that are asked again when a run is resumed and when it ends; None: 20 of
            an endpoint, none of a model in this process.
        max_lost: rows that may be paid without an answer, in the whole run; None: no limit.
        uniform: uniform rows that are bought for the evaluation of a table's victim, apart:
            agreement far from the test rows (Tramèr et al.'s R_unif). 0 is none.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    keep: Keep = "auto"
    compile: Compiled = "no"
    controls: bool = False
    snapshot_every: float = EVERY
    spot_check: int | None = None
    max_lost: int | None = None
    uniform: int = UNIFORM


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an audit comes from, for its record.

    Attributes:
        attack: the attack's name as it was written, with its profile.
        command: what was typed.
        spec: the audit as TOML, for `resume`; an audit made in Python has none.
    """

    attack: str = ""
    command: str = ""
    spec: str = ""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything that one audit is composed of.

    Attributes:
        victim: a module that gives logits, which are soft-maxed; or a function (n, *input_shape)
            pixels in [0, 1], or values of a table's features -> (n, K) probabilities; or either as
            a `LoadedVictim`, with all that is known of it.
        test: rows with true labels, for scoring only; fitted to the threat's input shape.
        out: the run folder.
        student: name in `clonecost.networks`, or a function that makes an untrained network.
        generators: trained on the attacker's own data, by the names that the attack's settings
            have for them; an RGB one serves a grey victim, too.
        price: USD per 1,000 rows.
        milestones: the clone is scored after these many rows, and at the end.
        options: how it is run.
        origin: where it comes from.
    """

    victim: nn.Module | Victim | LoadedVictim
    threat: ThreatModel
    attack: Attack
    test: LabelledInputs
    out: Path | str
    student: str | Callable[[], nn.Module] = "lenet"
    proxy: LabelledInputs | None = None
    generators: Mapping[str, TrainedGenerator] = field(default_factory=dict)
    defences: Sequence[Defence] = ()
    milestones: Sequence[int] = ()
    seed: int = 0
    price: float | None = None
    options: RunOptions = RunOptions()
    origin: Origin = Origin()

    @cached_property
    def loaded(self) -> LoadedVictim:
        """The victim, with the digest of its weights."""
        white_box = self.threat.access == "white-box"
        return as_loaded(self.victim, device=self.options.device, white_box=white_box)

    @property
    def folder(self) -> Path:
        return Path(self.out)

    @property
    def attack_name(self) -> str:
        """As it was written, else the class's name in small letters."""
        return self.origin.attack or name_of_attack(self.attack)

    @property
    def student_name(self) -> str:
        if self.threat.features is not None:
            return OWN_MODEL
        return self.student if isinstance(self.student, str) else name_of(self.student)

    def new_student(self) -> nn.Module:
        if not isinstance(self.student, str):
            return self.student()
        return build(self.student, self.threat.input_shape, self.threat.num_classes)

    def fitted_generators(self) -> dict[str, TrainedGenerator]:
        """Those that the attack wants, for the victim's shape.

        Raises:
            SpecError: one is missing, or makes images of another shape.
        """
        return {
            name: self._generator(name).fitted(self.threat.input_shape)
            for name in required_generators(self.attack)
        }

    def _generator(self, name: str) -> TrainedGenerator:
        if name not in self.generators:
            raise SpecError(
                f"{self.attack_name} makes its images with the generator {name!r}, which the audit "
                "was not given: put it into `generators` (`clonecost train generator` makes one)"
            )
        return self.generators[name]

    def open_network(self) -> nn.Module | None:
        """What a white box shows: a copy of the network in eval mode, its parameters frozen.

        A copy, so that nothing done to it can change the victim. None in a black box.
        """
        if self.threat.access != "white-box" or self.loaded.network is None:
            return None
        return deepcopy(self.loaded.network).to(self.options.device).eval().requires_grad_(False)

    def kept_bytes(self) -> int:
        """What keeping every input of the whole budget would take at most."""
        from_pool = self.attack.declares.proxy == "asked"
        return self.threat.query_budget * (4 if from_pool else 4 * prod(self.threat.input_shape))

    def identity(self) -> str:
        """What makes this audit itself and no other: all but the budget, which may grow."""
        threat = {k: v for k, v in asdict(self.threat).items() if k != "query_budget"}
        # a run is who it was before there were tables
        threat = {k: v for k, v in threat.items() if k not in ("features", "incomplete") or v}
        facts = {
            "victim": [self.loaded.name, self.loaded.weights],
            "threat": threat,
            "attack": [self.attack_name, settings_of(self.attack)],
            "defences": [[name_of(d), settings_of(d)] for d in self.defences],
            "student": self.student_name,
            "proxy": _fingerprint(self.proxy),
            "test": _fingerprint(self.test),
            "seed": self.seed,
            "device": self.options.device.type,
        }
        if wanted := required_generators(self.attack):  # an attack without any is who it always was
            facts["generators"] = {name: self._generator(name).weights for name in wanted}
        if self.options.compile != "no":
            facts["compile"] = self.options.compile
        return json.dumps(facts, sort_keys=True, default=list)


def check(audit: Audit) -> None:
    """Refuse what cannot work, before anything is sent.

    Raises:
        AnswersError: the attack needs richer answers, or the network itself.
        SpecError: shapes, classes, or settings contradict each other.
    """
    threat, attack = audit.threat, audit.attack
    check_access(attack, audit.attack_name, threat.access)
    if threat.access == "white-box":
        _check_white_box(audit)
    _check_kind(audit)
    needs = attack.declares.needs
    if RANK[needs] > RANK[threat.answers]:
        raise AnswersError(
            f"{audit.attack_name} needs answers of kind {needs!r}, this threat model gives "
            f"{threat.answers!r}: choose another attack (`clonecost list attacks`) or --answers"
        )
    if attack.declares.proxy != "none" and not audit.proxy:
        raise SpecError(f"{audit.attack_name} asks about proxy data: name some with --proxy")
    if audit.options.compile != "no" and audit.options.device.type == "cpu" and not _compiler():
        raise SpecError(
            "compile needs a C++ compiler on a CPU, and none is found: install g++, name one in "
            "the environment variable CXX, or leave compile out"
        )
    if attack.declares.proxy_labels and audit.proxy:
        classes = audit.proxy.labels.unique()
        if len(classes) < 2 or int(classes[0]) < 0:
            raise SpecError(
                f"{audit.attack_name} chooses among the classes of the attacker's own data, and "
                f"{audit.proxy.name or 'the proxy'} does not tell two of them apart: bring labels, "
                "or choose another attack (`clonecost list attacks`)"
            )
    audit.fitted_generators()
    for what, data in (("test set", audit.test), ("proxy", audit.proxy)):
        if data is not None and data.shape != threat.input_shape:
            raise SpecError(
                f"the {what} {data.name} has rows of shape {data.shape}, the victim takes "
                f"{threat.input_shape}: load it with shape={threat.input_shape}"
            )
    if len(audit.test) == 0:
        raise SpecError("the test set is empty: agreement needs rows to be measured on")
    if int(audit.test.labels.min()) < 0:
        raise SpecError(f"the test set {audit.test.name} has no labels: agreement needs them")
    top = int(audit.test.labels.max())
    if top >= threat.num_classes:
        raise SpecError(
            f"the test set has labels up to {top}, the victim {threat.num_classes} classes: "
            "is this the test set of that victim?"
        )
    if isinstance(audit.student, str) and threat.features is None:
        with torch.device("meta"):  # takes no time and draws no random numbers
            audit.new_student()
    least = queries_per_iteration(attack)
    if threat.query_budget < least:
        raise SpecError(
            f"one iteration of {audit.attack_name} costs {least:,} queries, the budget is "
            f"{threat.query_budget:,}: raise --budget to at least that"
        )


def _check_white_box(audit: Audit) -> None:
    if audit.loaded.network is None:
        raise SpecError(
            f"the victim {audit.loaded.name} has no network to look into: a white box takes one of "
            "the zoo, an nn.Module, or weights.safetensors with --network"
        )
    if audit.defences:
        raise SpecError(WITHOUT_DEFENCES)


def _check_kind(audit: Audit) -> None:
    """Images or a table: attack, victim and test rows must mean the same."""
    threat, attack = audit.threat, audit.attack
    if refused := wrong_kind(audit.attack_name, attack, table=threat.features is not None):
        raise SpecError(refused)
    if threat.features is None:
        return
    if audit.options.controls:
        raise SpecError(
            "controls train a student network, and an attack on a table has none: leave them out"
        )
    if error := refusal(attack, threat):
        raise SpecError(
            f"{audit.attack_name} cannot attack {audit.loaded.name}: {error.fact}", *error.remedies
        )
    try:
        check_rows(threat.features, audit.test.inputs)
    except QueryError as error:
        raise SpecError(
            f"the test set {audit.test.name} is not what the victim takes: {error}"
        ) from error


def wrong_kind(name: str, attack: Attack, *, table: bool) -> str | None:
    """Why an attack on images cannot attack a table, or the other way round; None: it can."""
    if attack.declares.takes == ("table" if table else "images"):
        return None
    if not table:
        return (
            f"{name} asks about rows of a table, this victim takes images: choose another attack "
            "(`clonecost list attacks`)"
        )
    fitting = [key for key in ATTACKS if ATTACKS.source(key).declared.get("takes") == "table"]
    return (
        f"{name} asks about images, this victim takes rows of a table: choose one of "
        f"{', '.join(fitting)} with --attack"
    )


def name_of(part: object) -> str:
    """A function's own name, else that of the class."""
    return getattr(part, "__name__", type(part).__name__)


def settings_of(part: object) -> dict[str, Any]:
    """The fields of a dataclass as JSON has them; none of any other callable."""
    found = asdict(cast(Any, part)) if is_dataclass(part) else {}
    return json.loads(json.dumps(found, default=str))


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")


def _fingerprint(data: LabelledInputs | None) -> list[str | int] | None:
    if data is None:
        return None
    digest = hashlib.blake2b(data.inputs.cpu().contiguous().numpy().data, digest_size=16)
    return [data.name, len(data), digest.hexdigest()]
