"""Load a backbone: of the list, from an ONNX file, or the user's own by `module:name`."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from clonecost.backbones.backbone import Backbone, Encoder, Outside
from clonecost.backbones.catalogue import BACKBONES, SIDE, Normalisation, kind_of
from clonecost.backbones.efficientnet import efficientnet_lite0, weights_file
from clonecost.backbones.memo import memo_of
from clonecost.backbones.onnx_file import onnx_network
from clonecost.errors import Advice, SpecError
from clonecost.persistence.disk import file_digest
from clonecost.persistence.file_limits import at_home
from clonecost.persistence.python_import import imported
from clonecost.safe_text import first_line
from clonecost.types import Shape

LISTED: dict[str, tuple[Callable[[int], nn.Module], Callable[[], Path]]] = {
    "efficientnet-lite0": (efficientnet_lite0, weights_file),
}


def load_backbone(
    name: str, *, size: int | None = None, normalisation: Normalisation | None = None
) -> Backbone:
    """A backbone, on the CPU, in eval mode and without gradients.

    Args:
        name: of `BACKBONES`, a path to an ONNX file, or `module:name` (`path/to/file.py:name`) of
            the user's own code, which runs: a torch module, or a function from (n, C, H, W) pixels
            to (n, d); `name()` is called and makes one.
        size: pixels of the side to which pictures are resized; None: its own, which own code
            states as an attribute `input_shape`, else 224.
        normalisation: of the pixels; None: ImageNet's, but for own code, which gets pixels in
            [0, 1].

    Raises:
        SpecError: no such backbone, its packages are not installed, it cannot be loaded, or what it
            gives are not d features a picture.

    Example:
        >>> load_backbone("efficientnet-lite0").features
        1280
    """
    kind = kind_of(name)
    if size is not None and size < 1:
        raise SpecError("The size of a backbone's pictures is out of range", got=size,
                        want="at least 1")  # fmt: skip
    shape: Shape
    if kind == "listed":
        make, file = LISTED[name]
        side = size or BACKBONES[name].side
        network, shape = make(side), (3, side, side)
        digest = file_digest(file())
    elif kind == "onnx":
        network, shape, digest = onnx_network(at_home(name), size)
    else:
        network, shape, digest = _of_code(name, size)
        normalisation = normalisation or "none"
    pixels = normalisation or "imagenet"
    encoder = Encoder(network, shape, pixels)
    if kind != "code":  # which may be more than its weights
        encoder.memo = memo_of(digest, shape, pixels)
    return Backbone(name, encoder, features=_width(name, encoder), weights=digest)


def _width(name: str, encoder: Encoder) -> int:
    """d, by two pictures of noise."""
    noise = torch.rand(2, *encoder.input_shape, generator=torch.Generator().manual_seed(0))
    want = "(2, d) features of two pictures"
    try:
        with torch.no_grad():
            features = encoder.eval()(noise)
    except Exception as error:  # own code and ONNX Runtime may raise anything
        raise SpecError(
            f"The backbone {name!r} fails on two pictures of shape {encoder.input_shape}: "
            f"{type(error).__name__}: {first_line(error)}", want=want,
        ) from error  # fmt: skip
    finite = features.is_floating_point() and bool(torch.isfinite(features).all())
    places = encoder.network(encoder.fitted(noise)) if finite else features
    if not finite or len(features) != 2 or features.shape[1] < 2 or _has_places(places):
        raise SpecError(
            f"The backbone {name!r} does not give features: its answer has the shape "
            f"{tuple(places.shape)}",
            Advice("cut it before its last layer and after its pooling"), want=want,
        )  # fmt: skip
    return features.shape[1]


def _has_places(answer: Tensor) -> bool:
    return answer.ndim > 2 and any(side > 1 for side in answer.shape[2:])


def _of_code(name: str, size: int | None) -> tuple[nn.Module, Shape, str]:
    found = imported(name, "Backbone", SpecError)
    if isinstance(found, type) or not callable(found):
        raise SpecError(
            f"The backbone {name!r} cannot be called", got=type(found).__name__,
            want="a torch module, or a function from pixels to features",
        )  # fmt: skip
    shape = tuple(getattr(found, "input_shape", None) or (3, SIDE, SIDE))
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise SpecError(f"The backbone {name!r} takes no pictures", got=f"input_shape {shape}",
                        want="(C, H, W) with one or three channels")  # fmt: skip
    shape = (shape[0], size, size) if size else shape
    if isinstance(found, nn.Module):
        return found, shape, _weights_digest(found)
    return Outside(found), shape, ""


def _weights_digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(
            value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
