"""What every way of loading a victim gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from clonecost.errors import VictimError
from clonecost.result import EndpointCard
from clonecost.types import Feature, InputPrecision, Shape, Victim


@dataclass(frozen=True, kw_only=True)
class LoadedVictim:
    name: str
    answer: Victim
    input_shape: Shape | None  # None: the victim does not say, the audit must
    num_classes: int | None
    features: tuple[Feature, ...] | None = None  # of a table's, where it says its columns
    classes: tuple[str, ...] = ()  # their names, where it says them
    weights: str | None  # sha256 of the file the victim came from; None when it is no file
    # pixels in [0, 1] -> logits, when it was loaded for a white box: no attack is given it else
    network: nn.Module | None = None
    served: str = ""  # how it is run or reached, in words, where that was found out
    takes: InputPrecision = "float32"  # uint8: whatever is sent is rounded to 8 bits on the way
    rows_in_flight: int | None = None  # of a remote victim: rows that are under way at once
    endpoint: Callable[[], EndpointCard] | None = None  # of a remote victim: what is known so far


def must_exist(path: Path) -> None:
    """Refuse a path where no file is.

    Raises:
        VictimError: with the path.
    """
    if not path.is_file():
        raise VictimError(f"there is no file {path}; check the path")
