"""What every way of loading a victim gives back."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from clonecost.errors import VictimError
from clonecost.result import EndpointCard
from clonecost.types import Feature, InputPrecision, LabelledInputs, Shape, Victim
from clonecost.victims.torch_model import torch_victim

NAMELESS = "victim"  # the name of a victim that was given as a module or a function


@dataclass(frozen=True, kw_only=True)
class LoadedVictim:
    """A victim, and what its owner knows of it: all of it is for the report, none for the attack.

    Example:
        >>> victim = LoadedVictim(name="reversed", answer=lambda inputs: inputs.flip(1))
        >>> victim.served
        ''
    """

    name: str
    answer: Victim
    input_shape: Shape | None = None  # None: the victim does not say, the audit must
    num_classes: int | None = None
    features: tuple[Feature, ...] | None = None  # of a table's, where it says its columns
    classes: tuple[str, ...] = ()  # their names, where it says them
    weights: str | None = None  # sha256 of the file the victim came from; None when it is no file
    # pixels in [0, 1] -> logits, when it was loaded for a white box: no attack is given it else
    network: nn.Module | None = None
    served: str = ""  # how it is run or reached, in words, where that was found out
    takes: InputPrecision = "float32"  # uint8: whatever is sent is rounded to 8 bits on the way
    rows_in_flight: int | None = None  # of a remote victim: rows that are under way at once
    endpoint: Callable[[], EndpointCard] | None = None  # of a remote victim: what is known so far
    true_labels: LabelledInputs | None = None  # its own training data, for the control of that name


def as_loaded(
    victim: nn.Module | Victim | LoadedVictim, *, device: torch.device, white_box: bool
) -> LoadedVictim:
    """What an audit was given, as a loaded victim with a digest of its weights.

    Args:
        victim: a module gives logits; any other callable gives probabilities.
        device: where a module runs; it is moved there.
        white_box: whether a module is opened to the attack.
    """
    if isinstance(victim, LoadedVictim):
        if victim.network is None or victim.weights is not None:
            return victim
        return replace(victim, weights=weights_digest(victim.network))
    if not isinstance(victim, nn.Module):
        return LoadedVictim(name=NAMELESS, answer=victim)
    digest, module = weights_digest(victim), victim.to(device)
    return LoadedVictim(
        name=NAMELESS, answer=torch_victim(module, device=device), weights=digest,
        network=module if white_box else None,
    )  # fmt: skip


def weights_digest(module: nn.Module) -> str:
    """sha256 over names and values of everything that the module would save."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        # as bytes: NumPy has no bfloat16
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def must_exist(path: Path) -> None:
    """Refuse a path where no file is.

    Raises:
        VictimError: with the path.
    """
    if not path.is_file():
        raise VictimError(f"there is no file {path}; check the path")
