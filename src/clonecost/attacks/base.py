"""The interface of an attack: its declaration, its kit, its clones. There is no base class."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, AnswersError, ChooseFrom, SetKey, SpecError
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
    Progress,
    ProxyData,
    Takes,
    ThreatModel,
    no_progress,
)

UseOfProxy = Literal["none", "asked", "changed"]
BySettings = Literal[
    "queries_per_iteration",
    "least_budget",
    "generators",
    "unfit",
    "rows_per_unknown",
    "published_wiring",
    "clone_epochs",
    "drawn",
    "search_passes",
]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What an attack needs, queries and reads; the class variable `declares` of its class.

    A trait that depends on an attack's settings is a property or method of the class, and
    `by_settings` lists its name (`clonecost.audit.attack_traits` reads it). A trait that is not
    listed has the value in brackets:

    - `queries_per_iteration: int` (0): the least budget that is accepted.
    - `least_budget: int` (0): rows without which it has no clone at all.
    - `generators: tuple[str, ...]` (none): names (`clonecost.names("generators")`) or folders of
      trained generators that the kit must hold. A generator that is named and not in the cache is
      trained on the proxy data first.
    - `unfit(threat: ThreatModel) -> SpecError | None` (None): the error that refuses this victim.
    - `rows_per_unknown: float` (None): rows queried for each unknown, if it solves equations.
    - `published_wiring: bool` (False): its generator makes the victim's normalised inputs, which an
      attacker who sends pixels cannot do.
    - `clone_epochs(start) -> int` (None): how often a row is trained on for each scored clone, if
      that is trained on all rows bought so far, for a student of this `Start`; from it `clonecost
      check` knows how long an audit takes.
    - `search_passes(budget: int) -> int` (0): rows that go through trainings of its search, which
      are not repeated for a scored clone.
    - `drawn(budget: int) -> tuple[int, int]` ((0, 0)): procedural pictures that it makes for a
      budget, and how many it holds at once.

    Raises:
        SpecError: a value is not one of those listed, `by_settings` lists a name that the class
            lacks, or the class has a trait that `by_settings` does not list. Raised when the
            attack's file is imported; Python 3.11 wraps the last two in a RuntimeError.

    Example:
        >>> declares: ClassVar = Declaration(needs="probs", finite_differences=True)
    """

    needs: AnswerKind  # least informative answers that suffice
    takes: Takes = "images"  # kind of the queried rows: images, rows of a table, or texts
    # use of the proxy data: none, queried as they are (asked), or used in another way (changed)
    proxy: UseOfProxy = "none"
    proxy_labels: bool = False  # the proxy data need labels of at least two classes
    # goes on without rows that the victim refuses for good: their answers are zeros (`answered`)
    skips_refused: bool = False
    # trains on answers as distributions alone, so that those of several labels a row suit it
    multi_label: bool = False
    white_box: bool = False  # reads the victim's network: a reference, no attack through the API
    # estimates gradients from answers to nearby inputs; coarse answers spoil the estimates
    finite_differences: bool = False
    by_settings: tuple[BySettings, ...] = ()  # traits that depend on the settings

    def __post_init__(self) -> None:
        allowed = {"needs": AnswerKind, "takes": Takes, "proxy": UseOfProxy}
        for key, kind in allowed.items():
            _one_of(key, getattr(self, key), get_args(kind))
        for name in self.by_settings:
            _one_of("by_settings", name, get_args(BySettings))

    def __set_name__(self, attack: type, name: str) -> None:
        if name != "declares":
            raise SpecError(
                f"{attack.__name__} has its Declaration under a wrong name",
                got=name, want="declares",
            )  # fmt: skip
        here = {key for key in get_args(BySettings) if hasattr(attack, key)}
        if here != set(self.by_settings):
            raise SpecError(
                f"by_settings of {attack.__name__} does not list the traits of the class",
                got=sorted(self.by_settings), want=sorted(here),
            )  # fmt: skip


def _one_of(key: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SpecError(
            f"{key} of an attack's declaration is unknown", got=repr(value), want=" or ".join(known)
        )


def name_of_attack(attack: object) -> str:
    """The attack's name in the registry: its class name in snake case.

    Example:
        >>> name_of_attack(BlackBoxRipper())
        'black_box_ripper'
    """
    return snake_case(type(attack).__name__)


def at_least(least: float, attack: object, *names: str) -> None:
    """Refuse settings below `least`; called in an attack's `__post_init__`. None is accepted.

    Raises:
        SpecError: a setting is below `least`, or not a number.

    Example:
        >>> at_least(1, self, "batch_size", "epochs")
    """
    for name in names:
        value = getattr(attack, name)
        if value is not None and not value >= least:  # catches nan, too
            raise out_of_range(attack, name, f"at least {least:g}")


def at_most(most: float, attack: object, *names: str) -> None:
    """Refuse settings above `most`; called in an attack's `__post_init__`.

    Raises:
        SpecError: a setting is above `most`, or not a number.
    """
    for name in names:
        if not getattr(attack, name) <= most:  # catches nan, too
            raise out_of_range(attack, name, f"at most {most:g}")


def out_of_range(attack: object, name: str, want: str) -> SpecError:
    """The error for a setting whose value does not satisfy `want`, not raised."""
    key = f"{name_of_attack(attack)}.{name}"
    value = getattr(attack, name)
    return SpecError(f"{key} is out of range", SetKey(f"set.{key}"), got=value, want=want)


def check_access(attack: "Attack", name: str, access: Access) -> None:
    """Refuse a reference in a black box and an attack through the API in a white box.

    Otherwise a result would be labelled with the wrong access.

    Raises:
        AnswersError: the attack reads the network, and the access is a black box.
        SpecError: the attack queries the API, and the access is a white box.
    """
    if attack.declares.white_box and access != "white-box":
        raise AnswersError(
            f"{name} is a reference that reads the victim's own network, which an API does not "
            "give",
            SetKey("access", "white-box"), got=access, want="white-box",
        )  # fmt: skip
    if access == "white-box" and not attack.declares.white_box:
        raise SpecError(
            f"{name} queries the API and reads no network",
            SetKey("access", "black-box"), got=access, want="black-box",
        )  # fmt: skip


def table_of(threat: ThreatModel) -> tuple[Feature, ...]:
    """The features of the victim's table, in the order of a row's values.

    Raises:
        SpecError: the victim takes images.
    """
    if threat.features is None:
        raise SpecError(
            "This attack queries rows of a table, and the threat model has no features",
            ChooseFrom("attacks"), Advice("give the threat model the table's `features`"),
        )  # fmt: skip
    return threat.features


def no_exhibit(search: Search, pictures: Mapping[str, Tensor]) -> None:
    """Ignore the state of a search: the default of `AttackerKit.exhibit`."""


def no_remark(sentence: str) -> None:
    """Ignore a remark: the default of `AttackerKit.remark`."""


class GeneratorFactory(Protocol):
    """A function that builds an untrained generator for the victim's shape."""

    def __call__(self, latent_dim: int, *, width: int) -> nn.Module:
        """A network from (n, latent_dim) to (n, C, H, W) before tanh."""
        ...


@dataclass(frozen=True, kw_only=True)
class AttackerKit:
    """Everything that an attack may use beside the oracle: no victim, no test data, no scores.

    Example:
        >>> student = kit.new_student()
        >>> proxy = kit.required_proxy(attack)
        >>> z = torch.randn(64, 100, generator=kit.rng, device=kit.device)
    """

    student: Callable[[], nn.Module]  # an untrained student, pixels in [0, 1] -> logits
    generator: GeneratorFactory
    # trained generators for the victim's shape, by name or folder
    generators: Mapping[str, TrainedGenerator] = field(default_factory=dict)
    proxy: ProxyData | None = None  # the attacker's own data, with the attacker's own labels
    rng: torch.Generator  # the only source of randomness, on `device`
    device: torch.device
    horizon: int  # rows over which schedules extend: the first query budget of this run
    compile: Compiled = "no"  # runs generators, or generators and students, through torch.compile
    progress: Progress = no_progress
    # A long loop iterates over `kit.loop(condition, **state)`, so that a killed run resumes inside
    # it. `state` is what iterations leave to later ones; `rng`, torch's random state and the
    # answered rows are kept in any case.
    loop: Loop = plain
    # Called by an attack that searches for images: the search so far, and images for the report
    # (see `clonecost.query_synthesis.search_log`). The last call counts.
    exhibit: Callable[[Search, Mapping[str, Tensor]], None] = no_exhibit
    # Called by an attack that knows that its clone is not what it promises: a sentence for the
    # user, without its full stop, which becomes a red flag. The last call counts; "" withdraws it.
    remark: Callable[[str], None] = no_remark
    # The victim's network, pixels in [0, 1] -> logits: a frozen copy in eval mode, differentiable
    # with respect to its inputs. Set only if the threat model's access is "white-box".
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
        """The generator, run through torch.compile if the audit asks for it.

        It is compiled in place: names of weights, copies and saved files do not change.
        """
        if self.compile != "no":
            generator.compile()
        return generator

    def trained_generator(self, name: str) -> TrainedGenerator:
        """The trained generator of this name or folder.

        Raises:
            SpecError: the kit does not hold it.
        """
        if name not in self.generators:
            raise SpecError(
                f"The kit does not hold the generator {name!r}, which the attack needs",
                Advice("list its name in the attack's `generators` and pass it to the audit"),
                got=sorted(self.generators) or "none", want=name,
            )  # fmt: skip
        return self.generators[name]

    def initialised(self, build: Callable[[], nn.Module]) -> nn.Module:
        """The network that `build` makes, on the device, in train mode, initialised from `rng`.

        `build` makes it on the CPU from torch's global random state, which is seeded from `rng`
        and restored afterwards.
        """
        seed = int(torch.randint(2**62, (1,), generator=self.rng, device=self.rng.device))
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also seed every GPU, and a clone that is scored would change
            # what the attack draws there
            torch.default_generator.manual_seed(seed)
            network = build().to(self.device).train()
        # convolutions of small images run up to three times faster in this layout, on CPUs too
        return cast(nn.Module, network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]

    def required_proxy(self, attack: object, suggestion: str | None = None) -> ProxyData:
        """The proxy data, for an attack that cannot run without; `suggestion` names a data set.

        Raises:
            SpecError: there are no proxy data.
        """
        if self.proxy is None:
            name = name_of_attack(attack)
            raise SpecError(f"{name} needs proxy data and got none", SetKey("proxy", suggestion))
        return self.proxy

    def branch(self, key: int) -> "AttackerKit":
        """The same kit with an `rng` that depends on the run's seed and `key` only.

        A clone trained in a branch does not depend on random numbers drawn before.
        """
        seed = (self.rng.initial_seed() * 1_000_003 + key) % 2**63
        return replace(self, rng=torch.Generator(self.rng.device).manual_seed(seed))


@dataclass(frozen=True)
class DeferredClone:
    """A clone that costs a training of its own: the audit makes it only when it scores it.

    `make(rows, kit)` returns the clone of the first `rows` rows that the attack has bought. Its
    `kit` is a branch, so that scoring changes no later query. The function is called before the
    attack's next step or after its last one, reads the attack's state and must not change it.

    Example:
        def make(rows: int, kit: AttackerKit) -> nn.Module:
            student = kit.new_student()
            distill(student, torch.cat(inputs)[:rows], torch.cat(answers)[:rows], Recipe(),
                    rng=kit.rng, progress=kit.progress, loop=kit.loop)
            return student
    """

    make: Callable[[int, AttackerKit], nn.Module]
    # False: `make` uses every row bought so far, and the clone is scored at that number
    exact: bool = True


Clone = nn.Module | DeferredClone


class Attack(Protocol):
    """A frozen, keyword-only dataclass whose fields are the hyper-parameters.

    `docs/contributing/attack.md` has a whole attack; this is its `run` in short.

    Example:
        >>> def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        ...     student = kit.new_student()
        ...     for _ in kit.loop(lambda _: oracle.remaining >= 64, student=student):
        ...         x = torch.rand(64, *oracle.threat.input_shape, generator=kit.rng)
        ...         train(student, x, oracle(x))
        ...         yield student
    """

    declares: ClassVar[Declaration]  # what the attack needs, queries and reads

    def plan(self, budget: int) -> str:
        """How the attack would spend `budget` queries: one line, without a query."""
        ...

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        """Query the oracle and yield the current clone after every step.

        A clone is a `DeferredClone`, or a network trained on all rows bought so far that maps
        pixels in [0, 1], or a table's values, to logits (n, K). The audit scores copies of some
        clones; an attack never sees a score. The last clone is the result, also when the budget
        ends within a step.

        Raises:
            SpecError: the kit lacks what the attack needs; raised before any query.
        """
        ...
