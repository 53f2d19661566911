"""The networks by name, and `build`, which adds the normalisation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from clonecost.errors import Advice, ChooseFrom, SetKey, SpecError, suggest
from clonecost.types import Shape

if TYPE_CHECKING:  # a list of names needs no torch
    from torch import nn


@dataclass(frozen=True)
class NetworkCard:
    """A network of the catalogue."""

    summary: str  # one line for listings
    path: str  # MODULE.NAME of its class or function, in this package

    @property
    def builder(self) -> Callable[[Shape, int], nn.Module]:
        """(input shape, classes) -> a network from pixels to logits."""
        return cast("Callable[[Shape, int], nn.Module]", getattr(*self._module_and_name()))

    @property
    def min_side(self) -> int:
        """The smallest H and W that leave a pixel after the last pooling."""
        return int(self._module_and_name()[0].MIN_SIDE)

    def _module_and_name(self) -> tuple[Any, str]:
        module, name = self.path.split(".")
        return import_module(f"clonecost.networks.{module}"), name


NETWORKS: dict[str, NetworkCard] = {
    "lenet": NetworkCard("LeNet: 2 convolutions, 62 k parameters", "lenet.LeNet"),
    "half-lenet": NetworkCard("LeNet with half the channels, 36 k parameters", "lenet.half_lenet"),
    "alexnet": NetworkCard("AlexNet for small images, 1.7 M parameters", "alexnet.AlexNet"),
    "half-alexnet": NetworkCard(
        "AlexNet of half the width, 0.4 M parameters", "alexnet.half_alexnet"
    ),
    "vgg16": NetworkCard("VGG-16 with BatchNorm, 14.7 M parameters", "vgg.Vgg16"),
    "resnet18-8x": NetworkCard(
        "ResNet-18 for small images, 11.2 M parameters", "resnet.resnet18_8x"
    ),
    "resnet34-8x": NetworkCard(
        "ResNet-34 for small images, 21.3 M parameters", "resnet.resnet34_8x"
    ),
    "wrn-22-2": NetworkCard("Wide ResNet 22-2, 1.1 M parameters", "wide_resnet.WideResNet"),
    "resnet20": NetworkCard(
        "ResNet-20 of the CIFAR experiments, 0.3 M parameters", "resnet.resnet20"
    ),
    "resnet8": NetworkCard(
        "ResNet-8: ResNet-20 with one block a stage, 78 k parameters", "resnet.resnet8"
    ),
}


def build(
    name: str,
    input_shape: Shape,
    num_classes: int,
    *,
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.5,),
) -> nn.Module:
    """Build a new network: (n, *input_shape) pixels in [0, 1] -> (n, num_classes) logits.

    Initial weights come from torch's global random state.

    Args:
        name: a key of `NETWORKS`.
        input_shape: (C, H, W).
        num_classes: K, at least 2.
        mean: of the normalisation, one value or one per channel, in units of pixels in [0, 1].
        std: likewise; the defaults map pixels to [-1, 1].

    Raises:
        SpecError: the name is unknown, or the shape, classes or constants do not fit the network.

    Example:
        >>> import torch
        >>> build("lenet", (1, 32, 32), 10)(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """
    from torch import nn

    from clonecost.networks.normalise import Normalise

    if name not in NETWORKS:
        raise SpecError(suggest("network", name, list(NETWORKS)), ChooseFrom("networks"))
    card = NETWORKS[name]
    _check_shape(name, input_shape, card.min_side)
    if num_classes < 2:
        raise SpecError(
            f"Network {name!r} needs at least 2 classes", SetKey("classes"), got=num_classes
        )
    channels = input_shape[0]
    for what, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise SpecError(
                f"The normalisation's {what} has {len(values)} values for {channels} channels",
                SetKey(what), want=f"1 or {channels}",
            )  # fmt: skip
    if min(std) <= 0:
        raise SpecError("The normalisation's std must be positive", SetKey("std"), got=std)
    parts = OrderedDict(
        normalise=Normalise(channels, mean, std), network=card.builder(input_shape, num_classes)
    )
    return nn.Sequential(parts)


def _check_shape(name: str, shape: Shape, least: int) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise SpecError(
            f"Network {name!r} takes images of shape (C, H, W), not {shape}",
            ChooseFrom("networks"), SetKey("shape"),
        )  # fmt: skip
    if min(shape[1:]) < least:
        raise SpecError(
            f"Network {name!r} needs images of at least {least}x{least} pixels",
            ChooseFrom("networks"), Advice("enlarge the images"), got=f"{shape[1]}x{shape[2]}",
        )  # fmt: skip
