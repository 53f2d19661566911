"""What an attack is given and what it must look like. There is no base class to inherit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from clonecost.errors import AnswersError, SpecError
from clonecost.generators import TrainedGenerator
from clonecost.oracle import Oracle
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.registry import snake_case
from clonecost.result import Search
from clonecost.types import (
    Access,
    AnswerKind,
    Compiled,
    Feature,
    LabelledInputs,
    Progress,
    ThreatModel,
    no_progress,
)

T = TypeVar("T")
Takes = Literal["images", "table"]
UseOfProxy = Literal["none", "asked", "changed"]
BySettings = Literal[
    "queries_per_iteration", "generators", "unfit", "rows_per_unknown", "published_wiring"
]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What an attack needs, takes and does: one for each attack, as its class variable `declares`.

    What depends on the settings of an attack is a property or method of its class, and
    `by_settings` names it; without one the value in brackets holds:

    - `queries_per_iteration: int` (0): no smaller budget is accepted.
    - `generators: tuple[str, ...]` (none): names (`clonecost.names("generators")`) or folders of
      trained generators that the kit must hold. A named one is trained on the proxy data first, if
      need be.
    - `unfit(threat: ThreatModel) -> str | None` (None): why it cannot attack this victim.
    - `rows_per_unknown: float` (None): it solves equations, and asks so many rows for each unknown.
    - `published_wiring: bool` (False): its generator makes the victim's normalised inputs, which an
      attacker who sends pixels cannot do.

    Raises:
        SpecError: a value is none of those listed, `by_settings` names what the class lacks, or
            the class has one of these and does not declare it. Raised when the attack's file is
            imported; Python 3.11 wraps what concerns the class into a RuntimeError.

    Example:
        >>> declares: ClassVar = Declaration(needs="probs", finite_differences=True)
    """

    needs: AnswerKind  # the poorest answers that the attack can work with
    takes: Takes = "images"  # what the attack asks about: images, or rows of a table
    # the attacker's own data: not used, asked as they are, or asked after a change
    proxy: UseOfProxy = "none"
    proxy_labels: bool = False  # the labels of the proxy data must tell two classes apart
    white_box: bool = False  # reads the victim's network: a reference, no attack through the API
    # differences between answers to inputs that lie close together: coarse answers spoil them
    finite_differences: bool = False
    by_settings: tuple[BySettings, ...] = ()  # what depends on the settings of the attack

    def __post_init__(self) -> None:
        allowed = {"needs": AnswerKind, "takes": Takes, "proxy": UseOfProxy}
        for key, kind in allowed.items():
            _one_of(key, getattr(self, key), get_args(kind))
        for name in self.by_settings:
            _one_of("by_settings", name, get_args(BySettings))

    def __set_name__(self, attack: type, name: str) -> None:
        if name != "declares":
            raise SpecError(f"{attack.__name__} declares itself", got=name, want="declares")
        here = {key for key in get_args(BySettings) if hasattr(attack, key)}
        if here != set(self.by_settings):
            raise SpecError(
                f"{attack.__name__} does not declare what it has in by_settings",
                got=sorted(self.by_settings), want=sorted(here),
            )  # fmt: skip


def _one_of(key: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SpecError(f"An attack declares {key}", got=repr(value), want=" or ".join(known))


def queries_per_iteration(attack: "Attack") -> int:
    """Rows that one iteration costs; 0: the attack has no iterations."""
    return _by_settings(attack, "queries_per_iteration", 0)


def wanted_generators(attack: "Attack") -> tuple[str, ...]:
    """Names or folders of the trained generators without which an attack cannot run."""
    return _by_settings(attack, "generators", ())


def rows_per_unknown(attack: "Attack") -> float | None:
    """Rows that are asked for each unknown; None: the attack solves no equations."""
    return _by_settings(attack, "rows_per_unknown", None)


def published_wiring(attack: "Attack") -> bool:
    """Whether its generator makes the victim's normalised inputs instead of pixels."""
    return _by_settings(attack, "published_wiring", False)


def why_unfit(attack: "Attack", threat: ThreatModel) -> str | None:
    """Why an attack cannot attack this victim; None: it can."""
    unfit: Callable[[ThreatModel], str | None] = _by_settings(attack, "unfit", lambda threat: None)
    return unfit(threat)


def _by_settings(attack: "Attack", name: BySettings, without: T) -> T:
    return cast(T, getattr(attack, name)) if name in attack.declares.by_settings else without


def name_of_attack(attack: object) -> str:
    """As the lists have it: the class's name in small letters, words joined by underscores."""
    return snake_case(type(attack).__name__)


def at_least(least: float, attack: object, *names: str) -> None:
    """Refuse settings below `least`; called from an attack's `__post_init__`.

    Raises:
        SpecError: one sentence with the name of the attack, its field and the value.
    """
    for name in names:
        value = getattr(attack, name)
        if value is not None and not value >= least:  # catches nan, too
            raise SpecError(
                f"{name_of_attack(attack)}.{name} is {value}: it must be at least {least:g}"
            )


def check_access(attack: "Attack", name: str, access: Access) -> None:
    """Refuse an attack in the wrong kind of box: both ways its row would be called what it is not.

    Raises:
        AnswersError: it reads the network, which an API does not give.
        SpecError: it asks through the API, and the network would be open to it.
    """
    if attack.declares.white_box and access != "white-box":
        raise AnswersError(
            f"{name} reads the victim's own network, which no API gives: it is a reference, not an "
            "attack through the API, and runs only with --access white-box"
        )
    if access == "white-box" and not attack.declares.white_box:
        raise SpecError(
            f"{name} asks through the API and reads no network: run it apart, without --access "
            "white-box"
        )


def table_of(threat: ThreatModel) -> tuple[Feature, ...]:
    """The features of the table that an attack on tables asks about.

    Raises:
        SpecError: the victim takes images.
    """
    if threat.features is None:
        raise SpecError(
            "this attack asks about rows of a table, the victim takes images: give the threat "
            "model its `features`, or choose another attack (`clonecost list attacks`)"
        )
    return threat.features


def nothing_to_show(search: Search, pictures: Mapping[str, Tensor]) -> None:
    """Show it to nobody: the default of who looks at a search."""


class GeneratorFactory(Protocol):
    def __call__(self, latent_dim: int, *, width: int) -> nn.Module:
        """(n, latent_dim) -> (n, C, H, W) before tanh."""
        ...


@dataclass(frozen=True, kw_only=True)
class AttackerKit:
    """Everything the attacker owns. No victim, no test data, no scores: the audit keeps those."""

    student: Callable[[], nn.Module]  # an untrained student, pixels in [0, 1] -> logits
    generator: GeneratorFactory
    # trained on data of the attacker's own, for the victim's shape; by name or folder
    generators: Mapping[str, TrainedGenerator] = field(default_factory=dict)
    proxy: LabelledInputs | None = None  # the attacker's own data; its labels are its own
    rng: torch.Generator  # the only source of randomness, on `device`
    device: torch.device
    horizon: int  # rows that schedules are laid out for: the budget this run began with
    compile: Compiled = "no"  # generators, or students too, run through torch.compile
    progress: Progress = no_progress
    # Every loop that takes long runs in one of these: a killed run goes on in its middle. It is
    # told what its iterations depend on; `rng`, the torch state and what was asked are kept anyway.
    loop: Loop = plain
    # For the report, of an attack that searches for its images: how that goes so far, and pictures
    # (see `clonecost.query_synthesis.search_log`). The last ones are kept.
    exhibit: Callable[[Search, Mapping[str, Tensor]], None] = nothing_to_show
    # The victim's network, pixels in [0, 1] -> logits: a frozen copy in eval mode that gradients
    # pass through to its inputs. Set only if the threat model's access is "white-box".
    white_box: nn.Module | None = None

    def new_student(self) -> nn.Module:
        """A student on the device, in train mode, initialised from `rng` alone."""
        student = self.initialised(self.student)
        if self.compile == "all":
            student.compile()
        return student

    def new_generator(self, latent_dim: int, *, width: int) -> nn.Module:
        """A generator on the device, in train mode, initialised from `rng` alone."""
        return self.compiled(self.initialised(lambda: self.generator(latent_dim, width=width)))

    def compiled(self, generator: nn.Module) -> nn.Module:
        """A generator of the attack's own, through torch.compile if the audit says so.

        In place: names of weights, copies and what is saved stay as they are.
        """
        if self.compile != "no":
            generator.compile()
        return generator

    def trained_generator(self, name: str) -> TrainedGenerator:
        """One of `generators`.

        Raises:
            SpecError: it is not among them.
        """
        if name not in self.generators:
            raise SpecError(
                f"the attack wants the generator {name!r}, trained on data of the attacker's own: "
                "name it in the attack's `generators` and give it to the audit"
            )
        return self.generators[name]

    def initialised(self, build: Callable[[], nn.Module]) -> nn.Module:
        """A network of the attack's own on the device, in train mode, its weights from `rng` alone.

        `build` makes it on the CPU, from torch's global random state.
        """
        seed = int(torch.randint(2**62, (1,), generator=self.rng, device=self.rng.device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build().to(self.device).train()
        # convolutions of small images run up to three times faster in this layout, on CPUs too
        return cast(nn.Module, network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]

    def owned(self, attack: object) -> LabelledInputs:
        """The attacker's own data.

        Raises:
            SpecError: there are none; the sentence names the attack.
        """
        if self.proxy is None:
            raise SpecError(
                f"{name_of_attack(attack)} asks the victim about proxy data: name some with --proxy"
            )
        return self.proxy

    def branch(self, key: int) -> "AttackerKit":
        """The same kit with randomness that depends on the seed and `key` only, not on the past.

        A clone trained in a branch is the same whatever else the run trained before it.
        """
        seed = (self.rng.initial_seed() * 1_000_003 + key) % 2**63
        return replace(self, rng=torch.Generator(self.rng.device).manual_seed(seed))


@dataclass(frozen=True)
class DeferredClone:
    """A clone that costs a computation of its own: the audit has it made where it looks.

    `make(rows, kit)` returns the clone of the first `rows` rows that the attack has bought. Its
    `kit` is a branch: looking changes nothing that the attack asks or does next. The function is
    called before the attack goes on, or after the attack has ended, and reads the attack's state
    as it is then; a making never changes that state.

    Example:
        def make(rows: int, kit: AttackerKit) -> nn.Module:
            student = kit.new_student()
            distill(student, torch.cat(inputs)[:rows], torch.cat(answers)[:rows], Recipe(),
                    rng=kit.rng, progress=kit.progress, loop=kit.loop)
            return student
    """

    make: Callable[[int, AttackerKit], nn.Module]
    exact: bool = True  # False: it knows every row bought so far, and is scored as that


Clone = nn.Module | DeferredClone


class Attack(Protocol):
    """A frozen dataclass whose fields are the hyper-parameters.

    `run` yields its current clone after every step: a network that has learnt from all rows bought
    so far, or a `DeferredClone`. The audit decides which of them to score, on a copy; an attack
    never sees a score. The last one yielded is the result, also when the budget runs out in
    mid-step.
    """

    declares: ClassVar[Declaration]  # what it needs, takes and does

    def plan(self, budget: int) -> str:
        """How it would spend the budget, in one line, without asking anything."""
        ...

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]: ...
