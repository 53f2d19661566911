"""The parts of one audit."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from clonecost.attacks.base import Attack, name_of_attack
from clonecost.audit.attack_traits import required_generators
from clonecost.audit.defaults import UNIFORM, Keep, kept_when
from clonecost.countermeasures import Countermeasure, Known, View
from clonecost.countermeasures.base import is_bound, name_of_countermeasure
from clonecost.errors import (
    Advice,
    RunWorkflow,
    SpecError,
)
from clonecost.generators import TrainedGenerator
from clonecost.oracle import Oracle
from clonecost.persistence.intervals import EVERY
from clonecost.students import Student, student_of
from clonecost.students.load import of_labels
from clonecost.types import (
    Compiled,
    Defence,
    LabelledInputs,
    ProxyData,
    Shape,
    ThreatModel,
    Victim,
)
from clonecost.victims.loaded_victim import LoadedVictim, as_loaded
from clonecost.victims.steadiness import Steadiness, steadiness

OWN_MODEL = "a model of the attack's own"  # for a table or texts
_LATER = ("features", "incomplete", "multi_label", "text")
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
        retrain: also train a fresh student by the shared recipe on all rows that the attack bought
            (`Result.retrained`); their inputs are then kept, unless `keep` is "none".
        retrain_epochs: of that training; None: those of the recipe.
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
    retrain: bool = False
    retrain_epochs: int | None = None
    snapshot_every: float = EVERY
    spot_check: int | None = None
    max_lost: int | None = None
    uniform: int = UNIFORM
    threads: int | None = None

    @property
    def keeps(self) -> Keep:
        """`keep`; a training on the bought rows keeps all of them."""
        return kept_when(self.keep, self.retrain)


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
        student: a name as `clonecost.students.parse_student` reads it; a function of
            (input_shape, num_classes) or of nothing that makes a network; or a network, of which
            every student is a copy, its weights included; of a multi-label victim one of L logits.
        proxy: the attacker's own data, if the attack needs any.
        generators: trained on the attacker's own data, by their names in the attack's settings; an
            RGB generator also serves a grey victim.
        defences: the first is closest to the victim.
        counter: what the attacker does about the defences; every repeat of a row is a query.
        price: USD per 1,000 rows.
        price_characters: for texts, USD per 1,000 characters, beside `price`.
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
    student: str | Callable[..., nn.Module] | nn.Module | Student = "lenet"
    proxy: ProxyData | None = None
    generators: Mapping[str, TrainedGenerator] = field(default_factory=dict)
    defences: Sequence[Defence] = ()
    counter: Countermeasure | None = None
    milestones: Sequence[int] = ()
    seed: int = 0
    price: float | None = None
    price_characters: float | None = None
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
        """The student's name as it was given, or that of its function or class."""
        if self.threat.takes != "images":
            return OWN_MODEL
        if isinstance(self.student, Student):
            return self.student.name
        return self.student if isinstance(self.student, str) else name_of(self.student)

    @property
    def repeats(self) -> int:
        """Queries that each of the attack's own rows costs."""
        return self.counter.repeats if self.counter else 1

    @property
    def alters_rows(self) -> bool:
        """Whether other rows are sent than those that the attack asks."""
        return self.counter is not None and self.counter.declares.alters

    def view(self, oracle: Oracle, clean: Tensor) -> View | None:
        """What the attack uses instead of the oracle; None: the oracle itself.

        Args:
            clean: (n, K) answers of the undefended victim, which only a bound gets.
        """
        if self.counter is None:
            return None
        known = Known.of(self.defences, self.seed, clean if is_bound(self.counter) else None)
        return self.counter.view(oracle, known)

    def new_student(self) -> nn.Module:
        """A student on the CPU, with its initial weights."""
        return self.loaded_student.make()

    @cached_property
    def loaded_student(self) -> Student:
        """The student, checked with two rows of its own.

        Raises:
            SpecError: it cannot be made, or does not fit the victim's inputs and classes.
        """
        shape, classes = self.threat.input_shape, self.threat.num_classes
        if self.threat.multi_label:
            return of_labels(student_of(self.student, shape, classes // 2))
        return student_of(self.student, shape, classes)

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
        # left out where they say nothing, so that the identity of an audit on images is unchanged
        threat = {k: v for k, v in threat.items() if k not in _LATER or v}
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
        if self.threat.takes == "images" and self.loaded_student.digest:  # none of the catalogue
            facts["student_weights"] = self.loaded_student.digest
        if names := required_generators(self.attack):  # no key without generators
            facts["generators"] = {name: self._generator(name).weights for name in names}
        if self.counter:  # no key without one
            facts["counter"] = [name_of_countermeasure(self.counter), settings_of(self.counter)]
        if self.options.compile != "no":
            facts["compile"] = self.options.compile
        return json.dumps(facts, sort_keys=True, default=list)


def kept_bytes(attack: Attack, shape: Shape, budget: int, keep: Keep, altered: bool = False) -> int:
    """The most bytes that the kept inputs of the whole budget take; 0: they are not kept.

    Args:
        altered: a countermeasure sends other rows than those of the pool.

    Example:
        >>> kept_bytes(Knockoff(), (1, 8, 8), 1_000, "auto")  # places in the proxy data
        4000
    """
    from_pool = attack.declares.proxy == "asked" and not altered
    most = budget * (4 if from_pool else 4 * prod(shape))
    return most if keep == "all" or (keep == "auto" and most <= KEEP_UNDER) else 0


def of_evaluation(threat: ThreatModel, rows: int) -> ThreatModel:
    """The threat model as the owner asks test rows by: whole answers to rows as they are."""
    return replace(
        threat, query_budget=rows, answers="probs", top_k=None, input_precision="float32",
        access="black-box",
    )  # fmt: skip


def _facts_of(data: ProxyData) -> list[str | int]:
    return [data.name, len(data), data.fingerprint]


def name_of(part: object) -> str:
    """A function's own name, else that of the class."""
    return getattr(part, "__name__", type(part).__name__)


def settings_of(part: object) -> dict[str, Any]:
    """The fields of a dataclass as JSON values; empty for any other callable."""
    found = asdict(cast(Any, part)) if is_dataclass(part) else {}
    return json.loads(json.dumps(found, default=str))
