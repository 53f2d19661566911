"""A user's own data: an .npz or .safetensors file, or a folder of images.

Nothing here opens a pickle.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clonecost.data.catalogue import Split
from clonecost.data.fitting import fit
from clonecost.errors import Advice, DataError, SetKey
from clonecost.types import LabelledInputs, Progress, Shape

_INPUTS = ("inputs", "images", "x")
_LABELS = ("labels", "y")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def read(path: Path, split: Split, shape: Shape | None, progress: Progress) -> LabelledInputs:
    """The data at `path` as (n, C, H, W) uint8; data without labels have labels of -1.

    A file holds `inputs` (or `images`, `x`): uint8 or float in [0, 1], as (n, C, H, W),
    (n, H, W, C) or (n, H, W) with C = 1 or 3; and, unless it is only proxy data, `labels` (or `y`):
    integers (n,). An .npz may also hold the names of its `classes`. A file has the same rows for
    both splits.

    A folder has one subfolder of images for each class (in alphabetical order), or images without
    labels. If it has both `train` and `test`, the one for `split` is read, else the folder itself.
    Images of different sizes need a `shape` (C, H, W), to which each is resized.

    Raises:
        DataError: the path does not exist, the format is unknown, a file is damaged, or values are
            out of range.

    Example:
        >>> read(Path("mine.npz"), "test", None, no_progress).shape  # doctest: +SKIP
        (3, 32, 32)
    """
    if path.is_dir():
        splits = [path / "train", path / "test"]
        chosen = path / split if all(part.is_dir() for part in splits) else path
        return _folder(chosen, shape, progress)
    if not path.is_file():
        raise DataError(f"there is no file or folder {path}.", Advice("check the path"))
    if path.suffix not in (".npz", ".safetensors"):
        raise DataError(
            f"{path} is not in a format that is read here.",
            Advice("give an .npz or .safetensors file, or a folder of images"),
        )
    arrays, classes = _npz(path) if path.suffix == ".npz" else (_safetensors(path), ())
    return _labelled(path, arrays, classes)


def _npz(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in (*_INPUTS, *_LABELS) if name in file]
            arrays = {name: torch.from_numpy(_native(file[name])) for name in names}
            classes = tuple(map(str, file["classes"])) if "classes" in file else ()
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({error}).",
            Advice("save plain numeric arrays with numpy.savez"),
        ) from error
    return arrays, classes


def _native(values: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's byte order, the only one that torch accepts."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError  # imported for this format only
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}).", Advice("save it again")) from error


def _labelled(path: Path, arrays: dict[str, Tensor], classes: tuple[str, ...]) -> LabelledInputs:
    inputs = next((arrays[name] for name in _INPUTS if name in arrays), None)
    labels = next((arrays[name] for name in _LABELS if name in arrays), None)
    if inputs is None:
        raise DataError(
            f"{path} has no array called {', '.join(_INPUTS)}.", Advice("rename one of its arrays")
        )
    inputs = _bytes(path, _channels_first(path, inputs))
    if labels is None:
        labels = torch.full((len(inputs),), -1)
    if labels.is_floating_point() or labels.is_complex() or labels.numel() != len(inputs):
        raise DataError(
            f"{path} has labels of {labels.dtype} and shape {tuple(labels.shape)}; want "
            f"{len(inputs):,} integers.",
            Advice("save one integer for each row"),
        )
    labels = labels.reshape(-1).long()
    if len(labels) and classes and int(labels.max()) >= len(classes):
        raise DataError(
            f"{path} has the label {int(labels.max())} and {len(classes)} classes.",
            Advice("name all classes"),
        )
    return LabelledInputs(inputs, labels, classes)


def _channels_first(path: Path, inputs: Tensor) -> Tensor:
    if inputs.ndim == 3:
        return inputs.unsqueeze(1)
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        return inputs
    if inputs.ndim == 4 and inputs.shape[3] in (1, 3):
        return inputs.permute(0, 3, 1, 2).contiguous()
    raise DataError(
        f"{path} has inputs of shape {tuple(inputs.shape)}; want (n, C, H, W), (n, H, W, C) or "
        "(n, H, W) with 1 or 3 channels.",
        Advice("reshape them"),
    )


def _bytes(path: Path, inputs: Tensor) -> Tensor:
    if inputs.dtype == torch.uint8:
        return inputs
    if not inputs.is_floating_point():
        raise DataError(
            f"{path} has inputs of {inputs.dtype}; want uint8, or float in [0, 1].",
            Advice("convert them"),
        )
    if inputs.numel():
        low, high = (float(value) for value in inputs.aminmax())
        if not (low >= 0 and high <= 1):  # also true for nan
            raise DataError(
                f"{path} has float inputs in [{low:.3g}, {high:.3g}].",
                Advice("scale them to [0, 1]"),
            )
    return (inputs.float() * 255).round_().to(torch.uint8)


def _folder(folder: Path, shape: Shape | None, progress: Progress) -> LabelledInputs:
    classes = tuple(
        sorted(part.name for part in folder.iterdir() if part.is_dir() and part.name[0] != ".")
    )
    files = [(path, -1) for path in _image_files(folder)] if not classes else []
    for label, name in enumerate(classes):
        files += [(path, label) for path in _image_files(folder / name)]
    if not files:
        raise DataError(
            f"{folder} holds no images ({', '.join(_IMAGE_SUFFIXES)}).",
            Advice("make a subfolder of images for each class"),
        )
    images = []
    for done, (path, _) in enumerate(files, 1):
        images.append(_image(path, shape))
        progress(f"reading {folder.name}", done, len(files))
    if any(image.shape[0] == 3 for image in images):
        images = [image.expand(3, -1, -1) for image in images]
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{folder} has images of different sizes.", SetKey("shape"))
    labels = torch.tensor([label for _, label in files])
    return LabelledInputs(torch.stack(images), labels, classes)


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)


def _image(path: Path, shape: Shape | None) -> Tensor:
    """(C, H, W) uint8: `shape`, or as stored with 1 (grey) or 3 channels."""
    from PIL import Image  # imported for this format only

    try:
        with Image.open(path) as image:
            grey = image.mode in ("1", "L", "LA")
            # by way of RGBA, because a palette with transparency has no other well-defined colours
            converted = image.convert("RGBA").convert("L") if grey else image.convert("RGBA")
            pixels = np.array(converted if grey else converted.convert("RGB"))
    except Exception as error:  # Pillow raises many unrelated types on broken bytes
        raise DataError(
            f"{path} cannot be decoded.", Advice("remove or replace the image")
        ) from error
    tensor = torch.from_numpy(pixels[None] if grey else pixels.transpose(2, 0, 1).copy())
    if shape is None:
        return tensor
    return fit(LabelledInputs(tensor[None], torch.tensor([0])), shape).inputs[0]
