"""The parts of one audit, and the checks before anything is sent."""

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
    least_budget,
    name_of_attack,
    queries_per_iteration,
    refusal,
    required_generators,
)
from clonecost.audit.defaults import UNIFORM, Keep
from clonecost.data.table_labels import must_be_indices
from clonecost.defences import must_fit
from clonecost.errors import (
    Advice,
    AnswersError,
    ChooseFrom,
    DropKey,
    QueryError,
    RunWorkflow,
    SetKey,
    SpecError,
)
from clonecost.generators import TrainedGenerator
from clonecost.networks import build
from clonecost.persistence.intervals import EVERY
from clonecost.tabular.features import check_rows
from clonecost.types import (
    Compiled,
    Defence,
    LabelledInputs,
    Shape,
    ThreatModel,
    Victim,
    richness,
)
from clonecost.victims.loaded_victim import LoadedVictim, as_loaded
from clonecost.victims.steadiness import Steadiness, steadiness

OWN_MODEL = "a model of the attack's own"  # for a table: the attack solves for the clone
KEEP_UNDER = 256 * 1024**2  # bytes: "auto" keeps the inputs when all of them fit into this


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of the run and of the evaluation of an audit.

    Attributes:
        device: where students, generators and a victim that is a module compute.
        keep: whether sent inputs are kept: "auto" keeps them if the first budget needs under
            256 MiB (rows of the proxy take 4 bytes each).
        compile: run the attack's generators ("generator"), or its students too ("all"), through
            torch.compile. It rounds differently, so the run is another one; it saves time from
            some 100,000 rows on.
        controls: also train the controls (`clonecost.result.Control`).
        snapshot_every: seconds between snapshots, from which a killed run resumes.
        spot_check: rows that are sent again when a run resumes and when it ends; None: 20, for a
            model in this process only when a run resumes.
        max_lost: rows that may be paid without an answer, in the whole run; None: no limit.
        uniform: uniform rows for the evaluation of a table's victim, paid apart: agreement far
            from the test rows (Tramèr et al.'s R_unif); 0: none.
        threads: that a new run computes with; None: chosen by `clonecost.audit.threads`.

    Example:
        >>> RunOptions(controls=True, max_lost=100).keep
        'auto'
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    keep: Keep = "auto"
    compile: Compiled = "no"
    controls: bool = False
    snapshot_every: float = EVERY
    spot_check: int | None = None
    max_lost: int | None = None
    uniform: int = UNIFORM
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The origin of an audit, for its record.

    Attributes:
        attack: the attack's name as the user wrote it, with its profile.
        command: the command line.
        spec: the audit as TOML, with which the command line resumes it; empty if it was made in
            Python.
    """

    attack: str = ""
    command: str = ""
    spec: str = ""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One audit: a victim, its defences, an attack, a threat model and a run folder.

    Attributes:
        victim: a module or a function, (n, *input_shape) pixels in [0, 1], or values of a table's
            features -> (n, K) scores, from which probabilities are made as a few rows show; or
            either as a `LoadedVictim`, with its name, weights and so on.
        test: rows with true labels, for scoring only; fitted to the threat's input shape.
        out: the run folder.
        student: name in `clonecost.networks`, or a function that makes an untrained network.
        proxy: the attacker's own data, if the attack needs any.
        generators: trained on the attacker's own data, by their names in the attack's settings; an
            RGB generator also serves a grey victim.
        defences: the first is closest to the victim.
        price: USD per 1,000 rows.
        milestones: numbers of rows after which the clone is scored; it is also scored at the end.
        options: of the run and the evaluation.
        origin: for the record.

    Example:
        >>> audit = Audit(victim=model, threat=threat, attack=Knockoff(), test=test,
        ...               proxy=photos, out="runs/mine")  # doctest: +SKIP
        >>> result = run_audit(audit)  # doctest: +SKIP
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
        return as_loaded(
            self.victim, device=self.options.device, api=self.threat, white_box=white_box
        )

    @cached_property
    def steadiness(self) -> Steadiness:
        """Whether the victim gives a row one answer, as far as asking it costs nothing.

        Raises:
            VictimError: its answers depend on the other rows of the batch.
        """
        return steadiness(self.loaded, self.threat.input_shape, self.threat.features)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out)

    @property
    def attack_name(self) -> str:
        """The attack's name as the user wrote it, else the class's name in snake_case."""
        return self.origin.attack or name_of_attack(self.attack)

    @property
    def student_name(self) -> str:
        """The student's name in `clonecost.networks`, or that of its function."""
        if self.threat.features is not None:
            return OWN_MODEL
        return self.student if isinstance(self.student, str) else name_of(self.student)

    def new_student(self) -> nn.Module:
        """An untrained student on the CPU."""
        if not isinstance(self.student, str):
            return self.student()
        return build(self.student, self.threat.input_shape, self.threat.num_classes)

    def fitted_generators(self) -> dict[str, TrainedGenerator]:
        """The generators that the attack needs, for the victim's shape.

        Raises:
            SpecError: a generator is missing, or makes images of another shape.
        """
        return {
            name: self._generator(name).fitted(self.threat.input_shape)
            for name in required_generators(self.attack)
        }

    def _generator(self, name: str) -> TrainedGenerator:
        if name not in self.generators:
            raise SpecError(
                f"{self.attack_name} needs the generator {name!r}, which the audit does not have",
                Advice("put a trained generator into `generators`"),
                RunWorkflow("train generator", name),
            )
        return self.generators[name]

    def open_network(self) -> nn.Module | None:
        """The network in a white box, None in a black box.

        It is a copy in eval mode with frozen parameters, so that no attack can change the victim.
        """
        if self.threat.access != "white-box" or self.loaded.network is None:
            return None
        return deepcopy(self.loaded.network).to(self.options.device).eval().requires_grad_(False)

    def identity(self) -> str:
        """The facts that identify this audit, as JSON: all but the budget, which may grow."""
        threat = {k: v for k, v in asdict(self.threat).items() if k != "query_budget"}
        # left out for images, so that the identity of an audit on images does not depend on tables
        threat = {k: v for k, v in threat.items() if k not in ("features", "incomplete") or v}
        facts = {
            "victim": [self.loaded.name, self.loaded.weights],
            "threat": threat,
            "attack": [self.attack_name, settings_of(self.attack)],
            "defences": [[name_of(d), settings_of(d)] for d in self.defences],
            "student": self.student_name,
            "proxy": None if self.proxy is None else _facts_of(self.proxy),
            "test": _facts_of(self.test),
            "seed": self.seed,
            "device": self.options.device.type,
        }
        if names := required_generators(self.attack):  # no key without generators
            facts["generators"] = {name: self._generator(name).weights for name in names}
        if self.options.compile != "no":
            facts["compile"] = self.options.compile
        return json.dumps(facts, sort_keys=True, default=list)


def kept_bytes(attack: Attack, shape: Shape, budget: int, keep: Keep) -> int:
    """The most bytes that the kept inputs of the whole budget take; 0: they are not kept.

    Example:
        >>> kept_bytes(Knockoff(), (1, 8, 8), 1_000, "auto")  # places in the proxy data
        4000
    """
    from_pool = attack.declares.proxy == "asked"
    most = budget * (4 if from_pool else 4 * prod(shape))
    return most if keep == "all" or (keep == "auto" and most <= KEEP_UNDER) else 0


def _facts_of(data: LabelledInputs) -> list[str | int]:
    return [data.name, len(data), data.fingerprint]


def check(audit: Audit) -> None:
    """Refuse an audit that cannot work, before anything is sent.

    Raises:
        AnswersError: the attack needs richer answers, or the network itself.
        SpecError: shapes, classes, or settings contradict each other.
    """
    threat, attack = audit.threat, audit.attack
    check_access(attack, audit.attack_name, threat.access)
    if threat.access == "white-box":
        _check_white_box(audit)
    _check_kind(audit)
    must_fit(audit.defences, threat)
    needs = attack.declares.needs
    if richness(needs) > richness(threat.answers):
        raise AnswersError(
            f"{audit.attack_name} needs richer answers than this threat model gives",
            SetKey("answers", needs), ChooseFrom("attacks"),
            got=repr(threat.answers), want=repr(needs),
        )  # fmt: skip
    if attack.declares.proxy != "none" and not audit.proxy:
        raise SpecError(
            f"{audit.attack_name} needs proxy data, and the audit has none", SetKey("proxy")
        )
    if audit.options.compile != "no" and audit.options.device.type == "cpu" and not _compiler():
        raise SpecError(
            "compile needs a C++ compiler on a CPU, and none is found",
            DropKey("compile"),
            Advice("install g++, or name a compiler in the environment variable CXX"),
        )
    if attack.declares.proxy_labels and audit.proxy:
        classes = audit.proxy.labels.unique()
        if len(classes) < 2 or int(classes[0]) < 0:
            raise SpecError(
                f"{audit.attack_name} needs proxy data with labels of two classes or more, and "
                f"{audit.proxy.name or 'the proxy'} has none",
                SetKey("proxy"), ChooseFrom("attacks"),
            )  # fmt: skip
    for what, data in (("test set", audit.test), ("proxy", audit.proxy)):
        if data is not None and data.shape != threat.input_shape:
            raise SpecError(
                f"The {what} {data.name} has another shape than the victim's inputs",
                Advice(f"load it with shape={threat.input_shape}"),
                got=data.shape, want=threat.input_shape,
            )  # fmt: skip
    if len(audit.test) == 0:
        raise SpecError("The test set is empty, so agreement cannot be measured", SetKey("test"))
    missing = int((audit.test.labels < 0).sum())
    if 0 < missing < len(audit.test):
        raise SpecError(
            f"{missing:,} of {len(audit.test):,} rows of the test set {audit.test.name} have no "
            "label. Accuracy needs a label for every row, and agreement needs none",
            Advice("give all rows a label, or none"), SetKey("test"),
        )  # fmt: skip
    if threat.features is not None:
        must_be_indices(audit.test, audit.loaded.classes)
    top = int(audit.test.labels.max())
    if top >= threat.num_classes:
        raise SpecError(
            "The test set has labels beyond the victim's classes",
            SetKey("class_names"), SetKey("test"), SetKey("classes"),
            got=f"label {top}", want=f"0 to {threat.num_classes - 1}",
        )  # fmt: skip
    if isinstance(audit.student, str) and threat.features is None:
        with torch.device("meta"):  # takes no time and draws no random numbers
            audit.new_student()
    least = least_budget(attack)
    if threat.query_budget < least:
        part = "iteration" if queries_per_iteration(attack) == least else "clone"
        raise SpecError(
            f"The budget is too small for one {part} of {audit.attack_name}",
            SetKey("budget", least), got=threat.query_budget, want=f"at least {least}",
        )  # fmt: skip
    audit.fitted_generators()  # last: a generator can still be trained


def _check_white_box(audit: Audit) -> None:
    if audit.loaded.network is None:
        raise SpecError(
            f"The victim {audit.loaded.name} gives answers only, and a white box needs its network",
            Advice("give a victim of the zoo, an nn.Module, or a weights file with `network`"),
            SetKey("access", "black-box"),
        )
    if audit.defences:
        raise SpecError(
            "A white-box reference reads the network behind the defences, so it takes none",
            DropKey("defence"),
        )


def _check_kind(audit: Audit) -> None:
    """Attack, victim and test rows must all be of images, or all of a table."""
    threat, attack = audit.threat, audit.attack
    check_takes(audit.attack_name, attack, table=threat.features is not None)
    if threat.features is None:
        return
    if audit.options.controls:
        raise SpecError(
            "Controls train a student network, and an attack on a table has none",
            DropKey("controls"),
        )
    if refused := refusal(attack, threat):
        raise SpecError(
            f"{audit.attack_name} cannot attack {audit.loaded.name}: {refused.fact}",
            *refused.remedies,
        )
    try:
        check_rows(threat.features, audit.test.inputs)
    except QueryError as error:
        raise SpecError(
            f"The test set {audit.test.name} does not fit the victim: {error.fact}",
            *error.remedies, SetKey("test"),
        ) from error  # fmt: skip


def check_takes(name: str, attack: Attack, *, table: bool) -> None:
    """Refuse an attack on images against a table, and the other way round.

    Raises:
        SpecError: with the attacks that fit a table.
    """
    if attack.declares.takes == ("table" if table else "images"):
        return
    if not table:
        raise SpecError(
            f"{name} attacks tables, and the victim takes images", ChooseFrom("attacks")
        )
    fitting = [key for key in ATTACKS if ATTACKS.source(key).declared.get("takes") == "table"]
    raise SpecError(
        f"{name} attacks images, and the victim takes rows of a table",
        SetKey("attack"), got=name, want=" or ".join(fitting),
    )  # fmt: skip


def name_of(part: object) -> str:
    """A function's own name, else that of the class."""
    return getattr(part, "__name__", type(part).__name__)


def settings_of(part: object) -> dict[str, Any]:
    """The fields of a dataclass as JSON values; empty for any other callable."""
    found = asdict(cast(Any, part)) if is_dataclass(part) else {}
    return json.loads(json.dumps(found, default=str))


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
