"""What every way of loading a victim gives back."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from clonecost.types import Shape, Victim


@dataclass(frozen=True, kw_only=True)
class LoadedVictim:
    name: str
    answer: Victim
    input_shape: Shape | None  # None: the victim does not say, the audit must
    num_classes: int | None
    weights: str | None  # sha256 of the file the victim came from; None when it is no file
    # pixels in [0, 1] -> logits, when it was loaded for a white box: no attack is given it else
    network: nn.Module | None = None


def file_digest(path: Path) -> str:
    """sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
