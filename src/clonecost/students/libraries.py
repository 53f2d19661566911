"""Networks of timm and torchvision as encoders, where those packages are installed."""

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from clonecost.backbones.backbone import Encoder
from clonecost.errors import Advice, SetKey, SpecError
from clonecost.networks.normalise import Normalise
from clonecost.safe_text import first_line
from clonecost.students.naming import StudentName

SIDE = 224  # pixels, where a model does not state its size
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def library_encoder(asked: StudentName) -> tuple[Encoder, int]:
    """The network without its last layer, and its number of features.

    Pictures are resized to the size that its weights were trained with, 224 x 224 if the library
    does not state one, or to `size`.

    Raises:
        SpecError: the package is not installed, has no such model, or cannot get its weights.
    """
    network, side, mean, std = _timm(asked) if asked.kind == "timm" else _torchvision(asked)
    side = asked.size or side
    normalised = nn.Sequential(Normalise(3, mean, std), network)
    encoder = Encoder(normalised, (3, side, side), "none")
    return encoder, _width(asked, encoder)


def _timm(
    asked: StudentName,
) -> tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]:
    timm = _package("timm")
    if not timm.is_model(asked.name):
        raise _unknown(asked, timm.list_models())
    network = _made(
        asked, lambda: timm.create_model(asked.name, pretrained=asked.pretrained, num_classes=0)
    )
    about = timm.data.resolve_model_data_config(network)
    return network, int(about["input_size"][-1]), tuple(about["mean"]), tuple(about["std"])


def _torchvision(
    asked: StudentName,
) -> tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]:
    models = _package("torchvision").models
    known = models.list_models(module=models)
    if asked.name not in known:
        raise _unknown(asked, known)
    chosen = "DEFAULT" if asked.pretrained else None
    network = _made(asked, lambda: models.get_model(asked.name, weights=chosen))
    _cut(asked, network)
    for name in ("AuxLogits", "aux1", "aux2"):  # second outputs in train mode
        if hasattr(network, name):
            setattr(network, name, None)
    if hasattr(network, "aux_logits"):
        network.aux_logits = False  # type: ignore[assignment]
    side, (mean, std) = SIDE, IMAGENET
    if asked.pretrained:
        about = models.get_model_weights(asked.name).DEFAULT.transforms()
        side, mean, std = int(about.crop_size[0]), tuple(about.mean), tuple(about.std)
    return network, side, mean, std


def _unknown(asked: StudentName, known: list[str]) -> SpecError:
    """The error for a model that the library lacks; its list is long, so the nearest are named."""
    near = get_close_matches(asked.name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return SpecError(f"{asked.kind} has no model {asked.name!r}{hint}", SetKey("student"))


def _cut(asked: StudentName, network: nn.Module) -> None:
    """Replace the last linear layer by nothing, so that its inputs come out."""
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise SpecError(
            f"The model {asked.name!r} of torchvision has no linear last layer to replace",
            SetKey("student"),
        )
    parent, _, last = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())


def _package(name: str) -> Any:
    try:
        package = __import__(name)
        __import__(f"{name}.data" if name == "timm" else f"{name}.models")
    except ImportError as error:
        raise SpecError(
            f"The package {name} is not installed, which the student needs",
            Advice(f"install it: pip install {name}"), SetKey("student"),
        ) from error  # fmt: skip
    except Exception as error:  # builds for other versions of torch fail in many ways
        raise SpecError(
            f"The package {name} does not work with this torch: {first_line(error)}",
            Advice(f"install the build of {name} that was made for this version of torch"),
            SetKey("student"),
        ) from error
    return package


def _made(asked: StudentName, make: Any) -> nn.Module:
    try:
        network: nn.Module = make()
    except Exception as error:  # of a hub client, of urllib, of a cache
        if not asked.pretrained:
            raise SpecError(
                f"{asked.kind} cannot build {asked.name!r}: {first_line(error)}", SetKey("student")
            ) from error
        raise SpecError(
            f"{asked.kind} cannot get the weights of {asked.name!r}, which are not on this "
            f"machine: {type(error).__name__}: {first_line(error)}",
            Advice("fetch them once where there is a network"),
            Advice("name a backbone whose weights are installed (backbone:efficientnet-lite0)"),
            Advice("give a file with weights=FILE.safetensors and leave pretrained out"),
        ) from error
    return network


@torch.no_grad()
def _width(asked: StudentName, encoder: Encoder) -> int:
    try:
        found = encoder.eval()(torch.zeros(2, *encoder.input_shape))
    except Exception as error:  # a network that takes its own size only
        raise SpecError(
            f"The student {asked.text!r} does not take pictures of {encoder.input_shape[1]} x "
            f"{encoder.input_shape[2]} pixels: {first_line(error)}",
            SetKey("student"), Advice("leave size out"),
        ) from error  # fmt: skip
    return int(found.shape[1])
