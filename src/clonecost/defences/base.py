"""A defence's declaration. A defence is a frozen dataclass; no base class is inherited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from clonecost.errors import SpecError
from clonecost.types import AnswerKind, PredictionApi

if TYPE_CHECKING:  # torch, which a list of names does not need
    from torch import Tensor

    from clonecost.types import Defence


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a defence does to answers: one for each defence, as its class variable `declares`.

    Example:
        >>> class Rounding:
        ...     declares: ClassVar = Declaration(coarse=True)

    Raises:
        SpecError: the class variable has another name.
    """

    coarse: bool = False  # answers are cut or rounded: equations and differences lose from that
    stateful: bool = False  # an answer depends on earlier queries
    recalls: bool = False  # its answers rebuild its state: what it returns is `Recalling`
    random: bool = False  # the same row may get another answer when it is sent again

    def __set_name__(self, defence: type, name: str) -> None:
        if name != "declares":
            raise SpecError(f"The declaration of {defence.__name__} has the wrong name", got=name,
                            want="declares")  # fmt: skip


@runtime_checkable
class Declared(Protocol):
    """A defence with a declaration. A plain function from victim to victim has none."""

    declares: ClassVar[Declaration]


def declaration_of(defence: object) -> Declaration:
    """What a defence declares; a plain function declares nothing."""
    return defence.declares if isinstance(defence, Declared) else Declaration()


def draws(defence: object) -> bool:
    """Whether the same row may get another answer when it is sent again, with these settings.

    Noise that is tied to the row (`consistent`) draws nothing. Of a plain function it is not known.
    """
    return declaration_of(defence).random and not getattr(defence, "consistent", False)


@runtime_checkable
class Recalling(Protocol):
    """A defended victim whose state is rebuilt from the answers that it served."""

    def __call__(self, inputs: "Tensor", /) -> "Tensor": ...

    def recall(self, answers: "Tensor") -> None:
        """Rebuild the state from (n, K) answers, in the order in which they were served."""


def forgetful(defences: "Sequence[Defence]", answers: AnswerKind) -> "Defence | None":
    """The first defence whose state the recorded answers do not rebuild; None: there is none.

    The record holds what the API shows. So only the last defence's own answers stand in it, and
    only where the API shows all probabilities.

    Example:
        >>> forgetful([ModelguardS(), Rounding()], "probs")
        ModelguardS(epsilon=1.0)
    """
    for place, defence in enumerate(defences, start=1):
        declares = declaration_of(defence)
        recorded = declares.recalls and place == len(defences) and answers == "probs"
        if declares.stateful and not recorded:
            return defence
    return None


@runtime_checkable
class Fitting(Protocol):
    """A defence that needs something: a network that fits the victim, a key with a value."""

    def check(self, api: PredictionApi) -> None:
        """Refuse an API that the defence does not fit, or what it lacks, before a row is sent."""


def must_fit(defences: "Sequence[Defence]", api: PredictionApi) -> None:
    """Refuse defences that do not fit the API or lack something, before anything is sent.

    Raises:
        SpecError: one has a network for other inputs or classes, or a key without a value.
    """
    for defence in defences:
        if isinstance(defence, Fitting):
            defence.check(api)
