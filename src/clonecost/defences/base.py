"""A defence's declaration. A defence is a frozen dataclass; no base class is inherited."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from clonecost.errors import SpecError


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
