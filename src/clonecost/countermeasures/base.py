"""The interface of a countermeasure, and the view of the oracle that it gives to an attack.

An attack counts its own rows, the oracle counts queries: with m copies of each row, one own row is
m queries. The mapping between the two is here and nowhere else (`own_rows`, `affordable`, `View`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.answer_policy import restrict
from clonecost.persistence.resumable_loop import Stateful
from clonecost.registry import snake_case
from clonecost.tabular.features import uniform_rows
from clonecost.types import AnswerKind, Defence, Purpose, ThreatModel, answered

OWN_KEY = "the attacker's own word"
CHUNK = 1_000  # rows that a defence is simulated on at once


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a countermeasure needs and gives; the class variable `declares` of its class.

    Example:
        >>> declares: ClassVar = Declaration(gives="label")

    Raises:
        SpecError: the class variable has another name.
    """

    needs: AnswerKind = "label"  # least informative answers that suffice
    gives: AnswerKind | None = None  # what the attack sees; None: what the API serves
    alters: bool = False  # it sends other rows than those that the attack asks
    simulates: bool = False  # it runs the defences that it knows on answers of its own

    def __set_name__(self, countermeasure: type, name: str) -> None:
        if name != "declares":
            raise SpecError(
                f"The declaration of {countermeasure.__name__} has the wrong name",
                got=name, want="declares",
            )  # fmt: skip


def own_rows(queries: int, repeats: int) -> int:
    """The rows of an attack that `queries` queries pay for, with `repeats` copies of each row.

    Example:
        >>> own_rows(1_000, 16)
        62
    """
    return queries // repeats


def affordable(queries: Iterable[int], repeats: int) -> list[int]:
    """Milestones in queries, each lowered to a number that whole rows cost; ascending, none twice.

    Example:
        >>> affordable([10, 500, 1_000], 16)
        [496, 992]
    """
    whole = {own_rows(one, repeats) * repeats for one in queries}
    return sorted(one for one in whole if one)


@dataclass(frozen=True)
class Known:
    """What the attacker knows beside the answers: the defences, and no key and no clean answer.

    Attributes:
        defences: in their order, with their settings; every key is a word of the attacker's own.
        seed: of the attacker's random numbers.
        clean: (n, K) answers of the undefended victim, which no attacker has; only for a bound.
    """

    defences: tuple[Defence, ...]
    seed: int = 0
    clean: Tensor | None = None

    @classmethod
    def of(cls, defences: Iterable[Defence], seed: int, clean: Tensor | None = None) -> "Known":
        """The knowledge of an attacker who faces these defences."""
        return cls(tuple(_without_key(one) for one in defences), seed, clean)

    @property
    def names(self) -> list[str]:
        """The names of the defences in the registry."""
        return [snake_case(getattr(one, "__name__", type(one).__name__)) for one in self.defences]

    @property
    def stateful(self) -> bool:
        """Whether an answer of the defences depends on earlier queries."""
        return any(
            getattr(getattr(one, "declares", None), "stateful", False) for one in self.defences
        )

    def server(self, threat: ThreatModel) -> Callable[[Tensor], Tensor]:
        """A function from clean answers (n, K) to what this API would serve for them, (n, K).

        The defences see random rows of the victim's shape. Torch's random state is left alone.
        """
        rng = torch.Generator().manual_seed(self.seed)
        now: list[Tensor] = []
        defended = self._defended(lambda _: now[-1])

        def served(clean: Tensor) -> Tensor:
            parts = []
            used = [clean.device] if clean.device.type == "cuda" else []
            with torch.no_grad(), torch.random.fork_rng(devices=used):
                torch.manual_seed(int(torch.randint(2**62, (1,), generator=rng)))
                for part in clean.split(CHUNK):
                    now[:] = [part]
                    answers = defended(_rows_like(threat, len(part), rng).to(part.device))
                    parts.append(restrict(answers, threat.answers, threat.top_k))
            return torch.cat(parts)

        return served

    def _defended(self, victim: Any) -> Any:
        for defence in self.defences:
            victim = defence(victim)
        return victim


def _rows_like(threat: ThreatModel, count: int, rng: torch.Generator) -> Tensor:
    if threat.features is not None:
        return uniform_rows(threat.features, count, rng)
    return torch.rand(count, *threat.input_shape, generator=rng)


def _without_key(defence: Defence) -> Defence:
    if is_dataclass(defence) and any(field.name == "key" for field in fields(defence)):
        return cast(Defence, replace(cast(Any, defence), key=OWN_KEY))
    return defence


# (the attack's rows (n, *shape), copies of each) -> (n, copies, *shape)
Copies = Callable[[Tensor, int], Tensor]
# (n, copies, K) answers as served -> (n, K) answers that the attack sees
Made = Callable[[Tensor], Tensor]


def same_rows(inputs: Tensor, repeats: int) -> Tensor:
    """Each row `repeats` times, unaltered."""
    return inputs[:, None].expand(-1, repeats, *inputs.shape[1:])


def first_answer(served: Tensor) -> Tensor:
    """The answer as it was served, to a row that was sent once."""
    return served[:, 0]


def _without_gaps(served: Tensor, told: Tensor) -> Tensor:
    """(n, m, K) answers in which the answered copies of a row stand for its refused ones, in turn.

    Args:
        told: (n, m) whether a copy was answered; at least one of each row.
    """
    first = torch.argsort(told.int(), dim=1, descending=True, stable=True)  # the answered copies
    turn = torch.arange(told.shape[1], device=told.device) % told.sum(1, keepdim=True)
    place = first.gather(1, turn)
    return served.gather(1, place[..., None].expand_as(served))


class View:
    """What an attack uses instead of the oracle: the same calls, in its own rows.

    A batch of n rows is sent as n * repeats queries, the copies of a row one after the other. It
    draws no random number that the attack or the victim would see, so that a run that is resumed
    sends the same rows again.

    Args:
        oracle: the true one, which counts every copy.
        repeats: copies of each row, m.
        gives: the kind of the answers that the attack sees; None: as served.
        copies: makes the copies of a batch; with one copy the row itself is sent.
        made: makes the attack's answers from the served ones; may have a state (`state_dict`).
        altered: the copies are not the attack's own rows.

    Example:
        >>> view = View(oracle, repeats=4, made=lambda served: served.mean(1))  # doctest: +SKIP
        >>> view(rows).shape, view.spent, oracle.spent  # doctest: +SKIP
        (torch.Size([10, 3]), 10, 40)
    """

    def __init__(
        self,
        oracle: Oracle,
        *,
        repeats: int = 1,
        gives: AnswerKind | None = None,
        copies: Copies = same_rows,
        made: Made = first_answer,
        altered: bool = False,
    ) -> None:
        self._oracle, self._repeats = oracle, repeats
        self._copies, self._made, self._altered = copies, made, altered
        threat = oracle.threat
        self.threat = replace(
            threat, query_budget=own_rows(threat.query_budget, repeats),
            answers=gives or threat.answers,
            top_k=threat.top_k if gives in (None, threat.answers) else None,
        )  # fmt: skip

    @property
    def spent(self) -> int:
        """The attack's own rows that are answered so far."""
        return own_rows(self._oracle.spent, self._repeats)

    @property
    def remaining(self) -> int:
        """The attack's own rows that are left of the budget."""
        return self.threat.query_budget - self.spent

    def __call__(
        self, inputs: Tensor, *, index: Tensor | None = None, purpose: Purpose = "training"
    ) -> Tensor:
        """(n, *input_shape) -> (n, K); costs n * repeats queries.

        A row of which every copy was refused has no answer: zeros, as the oracle gives them. Of
        another row, the answered copies count.

        Raises:
            BudgetError: they do not fit; nothing was sent.
            CloneCostError: as the oracle.
        """
        copies = self._copies(inputs, self._repeats) if self._repeats > 1 else inputs[:, None]
        rows = copies.reshape(-1, *inputs.shape[1:])
        places = None
        if index is not None and not self._altered:
            places = index.repeat_interleave(self._repeats)
        served = self._oracle(rows, index=places, purpose=purpose)
        told = answered(served).view(len(inputs), self._repeats)
        served = served.view(len(inputs), self._repeats, -1)
        if told.all():
            return self._made(served)
        some = told.any(1)
        if not some.any():
            return served.new_zeros(len(inputs), served.shape[2])
        made = self._made(_without_gaps(served[some], told[some]))
        answers = made.new_zeros(len(inputs), made.shape[1])
        answers[some] = made
        return answers

    def state_dict(self) -> dict[str, Any]:
        return self._made.state_dict() if isinstance(self._made, Stateful) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if isinstance(self._made, Stateful):
            self._made.load_state_dict(dict(state))


class Countermeasure(Protocol):
    """A frozen, keyword-only dataclass whose fields are the settings.

    Example:
        >>> audit = Audit(..., counter=LabelOnly())  # doctest: +SKIP
    """

    declares: ClassVar[Declaration]

    @property
    def repeats(self) -> int:
        """Queries that each of the attack's rows costs, m."""
        ...

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        """Why it cannot work against these defences, not raised; None: it can."""
        ...

    def view(self, oracle: Oracle, known: Known) -> View:
        """What the attack uses instead of the oracle."""
        ...


def name_of_countermeasure(countermeasure: object) -> str:
    """Its name in the registry: its class name in snake case.

    Example:
        >>> name_of_countermeasure(LabelOnly())
        'label_only'
    """
    return snake_case(type(countermeasure).__name__)


def is_bound(countermeasure: object) -> bool:
    """Whether it uses clean answers, which no attacker has: a bound, not an attack."""
    return bool(getattr(countermeasure, "bound", False))


def out_of_range(countermeasure: object, name: str, want: str) -> SpecError:
    """The error for a setting whose value does not satisfy `want`, not raised."""
    key = f"{name_of_countermeasure(countermeasure)}.{name}"
    return SpecError(
        f"{key} is out of range", SetKey("counter"), got=getattr(countermeasure, name), want=want
    )


def at_least_two_copies(countermeasure: object, repeats: int) -> None:
    """Refuse fewer than two copies of a row, which average nothing.

    Raises:
        SpecError: there are fewer.
    """
    if not 2 <= repeats <= 10_000:
        raise out_of_range(countermeasure, "repeats", "2 to 10000")


def cannot_be_simulated(name: str, known: Known, threat: ThreatModel) -> SpecError | None:
    """The error that says that the defences cannot be run on answers alone; None: they can."""
    if not known.defences:
        return SpecError(
            f"{name} undoes a defence, and there is none", SetKey("defence"), SetKey("counter")
        )
    clean = torch.full((2, threat.num_classes), 0.5 / (threat.num_classes - 1))
    clean[:, 0] = 0.5
    try:
        known.server(threat)(clean)
    except Exception as error:  # whatever an unusual defence does with made-up rows
        return SpecError(
            f"{name} runs the defences on answers of its own, and "
            f"{', '.join(known.names)} cannot be run that way ({type(error).__name__}: {error})",
            SetKey("counter"),
        )
    return None
