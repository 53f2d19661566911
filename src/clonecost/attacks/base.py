"""What an attack is given and what it must look like. There is no base class to inherit."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from clonecost.errors import SpecError
from clonecost.generators import TrainedGenerator
from clonecost.loops import Loop, plain
from clonecost.oracle import Oracle
from clonecost.result import Search
from clonecost.types import AnswerKind, LabelledInputs, Progress, no_progress


def name_of_attack(attack: object) -> str:
    """As the lists have it: the class's name in small letters, words joined by underscores."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(attack).__name__).lower()


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
    milestones: tuple[int, ...] = ()  # rows after which a look at the clone is wanted, ascending
    progress: Progress = no_progress
    # Every loop that takes long runs in one of these: a killed run goes on in its middle. It is
    # told what its iterations depend on; `rng`, the torch state and what was asked are kept anyway.
    loop: Loop = plain
    # For the report, of an attack that searches for its images: how that goes so far, and pictures
    # (see `clonecost.search_record`). The last ones are kept.
    exhibit: Callable[[Search, Mapping[str, Tensor]], None] = nothing_to_show
    white_box: nn.Module | None = None  # set only if the threat model says so

    def new_student(self) -> nn.Module:
        """A student on the device, in train mode, initialised from `rng` alone."""
        return self.initialised(self.student)

    def new_generator(self, latent_dim: int, *, width: int) -> nn.Module:
        """A generator on the device, in train mode, initialised from `rng` alone."""
        return self.initialised(lambda: self.generator(latent_dim, width=width))

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

    def branch(self, key: int) -> "AttackerKit":
        """The same kit with randomness that depends on the seed and `key` only, not on the past.

        A clone trained in a branch is the same whatever else the run trained before it.
        """
        seed = (self.rng.initial_seed() * 1_000_003 + key) % 2**63
        return replace(self, rng=torch.Generator(self.rng.device).manual_seed(seed))


class Attack(Protocol):
    """A frozen dataclass whose fields are the hyper-parameters.

    `run` yields its current clone whenever there is a better one to show. The audit decides which
    of them to score; an attack never sees a score. The last one yielded is the result, also when
    the budget runs out in mid-step.

    Two properties are optional. `queries_per_iteration`, an int: no smaller budget is accepted.
    `generators`, a tuple of str: names (`clonecost list generators`) or folders of trained
    generators that the kit must hold; named ones are trained on the proxy first, if need be.
    """

    needs: ClassVar[AnswerKind]  # the poorest answers it can work with
    uses_proxy: ClassVar[bool]  # whether it asks about the attacker's own data

    def plan(self, budget: int) -> str:
        """How it would spend the budget, in one line, without asking anything."""
        ...

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]: ...
