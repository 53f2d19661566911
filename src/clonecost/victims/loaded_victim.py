"""A loaded victim: the common result of all ways of loading one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from clonecost.errors import VictimError
from clonecost.persistence.file_limits import regular_file
from clonecost.result import EndpointCard
from clonecost.types import Feature, InputPrecision, LabelledInputs, Shape, Victim
from clonecost.victims.sklearn_model import TableModel
from clonecost.victims.torch_model import torch_victim

NAMELESS = "victim"  # the name of a victim that was given as a module or a function


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
    input_shape: Shape | None = None  # None: unknown, so that the audit must state it
    num_classes: int | None = None
    features: tuple[Feature, ...] | None = None  # a table's columns, where the victim states them
    classes: tuple[str, ...] = ()  # the classes' names, where the victim states them
    table: TableModel | None = None  # the estimator, which rows of a table are fitted to
    weights: str | None = None  # sha256 of the victim's file; None without a file
    # pixels in [0, 1] -> logits; set for a white box only
    network: nn.Module | None = None
    served: str = ""  # how the victim is run or reached, in words, where known
    takes: InputPrecision = "float32"  # uint8: inputs are rounded to 8 bits on the way
    rows_in_flight: int | None = None  # remote victims: the most rows in flight at once
    endpoint: Callable[[], EndpointCard] | None = None  # remote victims: the traffic so far
    true_labels: LabelledInputs | None = None  # the victim's training data, for the control

    def fitted_to(self, features: Sequence[Feature] | None) -> "LoadedVictim":
        """The same victim for rows with these features, where it is an estimator.

        Raises:
            VictimError: the estimator was fitted on other columns or categories.
        """
        if self.table is None or not features:
            return self
        return replace(
            self, answer=self.table.answering(features), features=tuple(features),
            input_shape=(len(features),),
        )  # fmt: skip


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
    """Refuse a path without a regular file.

    Raises:
        VictimError: there is no such file, or it is a folder, a pipe or a device.
    """
    regular_file(path, VictimError)
