"""A loaded victim: the common result of all ways of loading one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from clonecost.errors import Advice, VictimError
from clonecost.result import EndpointCard
from clonecost.types import Feature, InputPrecision, Shape, Victim


@dataclass(frozen=True, kw_only=True)
class LoadedVictim:
    """A victim and what is known about it.

    Example:
        >>> victim = load_victim("my_models:network", input_shape=(1, 28, 28), num_classes=10)
        >>> victim.answer(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    name: str
    answer: Victim  # (n, *input_shape) -> (n, num_classes) probabilities
    input_shape: Shape | None  # None: unknown, so that the audit must state it
    num_classes: int | None
    features: tuple[Feature, ...] | None = None  # a table's columns, where the victim states them
    classes: tuple[str, ...] = ()  # the classes' names, where the victim states them
    weights: str | None  # sha256 of the victim's file; None without a file
    # pixels in [0, 1] -> logits; set for a white box only
    network: nn.Module | None = None
    served: str = ""  # how the victim is run or reached, in words, where known
    takes: InputPrecision = "float32"  # uint8: inputs are rounded to 8 bits on the way
    rows_in_flight: int | None = None  # remote victims: the most rows in flight at once
    endpoint: Callable[[], EndpointCard] | None = None  # remote victims: the traffic so far


def must_exist(path: Path) -> None:
    """Refuse a path without a file.

    Raises:
        VictimError: there is no such file.
    """
    if not path.is_file():
        raise VictimError(f"There is no file {path}", Advice("check the path"))
