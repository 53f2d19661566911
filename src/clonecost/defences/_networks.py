"""The networks that some defences hold beside the victim: named in their settings, never passed.

A setting names a network of the catalogue (or `perceptron`), which is then untrained, or a file of
weights. The file's digest is a setting, too, so that a run is resumed with the same weights only.
"""

import json
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from clonecost.errors import (
    Advice,
    ChooseFrom,
    CloneCostError,
    SpecError,
    VictimError,
    suggest,
)
from clonecost.networks import NETWORKS, build
from clonecost.networks.weights import load_weights
from clonecost.persistence.disk import cache_root, file_digest
from clonecost.persistence.file_limits import at_home, check_safetensors
from clonecost.persistence.model_cache import CARD, WEIGHTS
from clonecost.types import PredictionApi, Shape

PERCEPTRON = "perceptron"  # one hidden layer on the flat inputs: it takes any shape, tables too
HIDDEN = 64
ROWS = {"cpu": 128}  # at once: on a CPU more rows overflow the caches
Transform = Callable[[Tensor], Tensor]


class Source(NamedTuple):
    """Where a defence's network comes from.

    Attributes:
        of: the defence and its setting, for messages: "grad2's surrogate".
        where: `perceptron`, a name of the catalogue, a file of weights, or the name of a trained
            victim in the cache, such as digits-lenet-seed1.
        network: the catalogue's name of a file's network, where the file does not say it.
        seed: of the weights of a network that is not from a file.
    """

    of: str
    where: str
    network: str = ""
    seed: int = 0

    @property
    def file(self) -> Path | None:
        """The file of weights; None for an untrained network."""
        if self.where == PERCEPTRON or self.where in NETWORKS:
            return None
        cached = cache_root() / "victims" / self.where / WEIGHTS
        return cached if "/" not in self.where and cached.is_file() else at_home(self.where)

    def digest(self, stated: str = "") -> str:
        """The digest of the file, 64 hex digits; empty for an untrained network.

        Args:
            stated: the digest that the file must have; empty: any.

        Raises:
            SpecError: there is no such file, or it has another digest.
        """
        path = self.file
        if path is None:
            return ""
        if not (path.suffix or len(path.parts) > 1 or path.exists()):  # a name, not a path
            known = suggest("network", self.where, [*NETWORKS, PERCEPTRON])
            raise SpecError(f"{self.of}: {known}", ChooseFrom("networks"),
                            Advice("give a file of weights"))  # fmt: skip
        try:
            check_safetensors(path)
            found = file_digest(path)
        except (CloneCostError, OSError) as error:
            fact = error.fact if isinstance(error, CloneCostError) else f"{path} cannot be read."
            raise SpecError(
                f"{self.of}: {fact}", Advice("give a file of weights"), ChooseFrom("networks")
            ) from error
        if stated and found != stated:
            raise SpecError(
                f"{self.of}: {path} has other weights than those that were named",
                Advice("restore the file, or leave the digest out"), got=found[:12],
                want=stated[:12],
            )  # fmt: skip
        return found

    def load(self, shape: Shape, classes: int) -> nn.Module:
        """The network in eval mode on the CPU: (n, *shape) -> (n, classes) logits.

        Torch's global random state stays as it is.

        Raises:
            SpecError: the file does not say its network, or the network does not fit.
        """
        path = self.file
        try:
            if path is None:
                with torch.random.fork_rng():
                    torch.manual_seed(self.seed)
                    return self._untrained(shape, classes).eval().requires_grad_(False)
            about = _about(path)
            name = self.network or about.get("network", "")
            if not name:
                raise SpecError(f"{path} does not say of which network its weights are",
                                Advice("add network=NAME to the defence"))  # fmt: skip
            stated = about.get("num_classes", str(classes))
            if "members" in about:
                raise SpecError(f"{path} holds several networks, and one is wanted")
            if stated != str(classes):
                raise SpecError(f"{path} has {stated} classes, and the victim {classes}")
            return load_weights(path, name, shape, classes).requires_grad_(False)
        except (SpecError, VictimError) as error:
            own = [one for one in error.remedies if isinstance(one, Advice)]
            remedies = own or [Advice("give a network for the victim's inputs and classes")]
            raise SpecError(f"{self.of}: {error.fact}", *remedies) from error

    def check(self, api: PredictionApi) -> None:
        """Refuse a network that does not fit the API.

        Raises:
            SpecError: as `load`.
        """
        self.load(api.input_shape, api.num_classes)

    def _untrained(self, shape: Shape, classes: int) -> nn.Module:
        if self.where != PERCEPTRON:
            return build(self.where, shape, classes)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(prod(shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)
        )


class Beside:
    """A network beside the victim, loaded for the first rows and classes that it gets.

    Example:
        >>> beside = Beside(Source("grad2's surrogate", "perceptron"))
        >>> beside.answers(torch.rand(5, 1, 8, 8), 3).shape
        torch.Size([5, 3])
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._model: nn.Module | None = None

    def model(self, inputs: Tensor, classes: int) -> nn.Module:
        """The network, on the device of (n, *shape) inputs."""
        if self._model is None:
            self._model = self._source.load(tuple(inputs.shape[1:]), classes)
        return self._model.to(inputs.device)

    def answers(self, inputs: Tensor, classes: int) -> Tensor:
        """(n, *shape) inputs -> (n, classes) probabilities."""
        return in_parts(partial(_softmax, self.model(inputs, classes)), inputs)


def in_parts(transform: Transform, inputs: Tensor) -> Tensor:
    """A function of rows on a few rows at a time, so that memory does not grow with the batch.

    Missing values of a table (NaN) are 0 for a network.
    """
    size = ROWS.get(inputs.device.type, 1024)
    known = torch.nan_to_num(inputs)
    with torch.autocast(inputs.device.type, enabled=False):
        return torch.cat([transform(part) for part in known.split(size)])


def _softmax(model: nn.Module, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.softmax(model(rows), 1)


def _about(path: Path) -> dict[str, str]:
    """What a file of weights says about its network: its own words, or those of its card."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("clonecost", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise VictimError(f"{path} is not a file of weights: {error}") from error
    about = {str(key): str(value) for key, value in about.items()}
    if "network" not in about and (card := path.parent / CARD).is_file():
        try:
            recipe = json.loads(card.read_bytes())["recipe"]
            about |= {"network": str(recipe["network"]), "num_classes": str(recipe["num_classes"])}
        except (ValueError, KeyError, TypeError):
            pass  # no card of a victim: the user must say what the weights are
    return about
