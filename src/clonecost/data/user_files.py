"""A user's own data: an .npz or .safetensors file, or a folder of pictures.

Nothing here opens a pickle.
"""

from pathlib import Path

import torch
from torch import Tensor

from clonecost.data.catalogue import Split
from clonecost.data.class_names import must_be_labels
from clonecost.data.fitting import CHUNK
from clonecost.data.npz import read_npz
from clonecost.data.picture_folders import read_folder
from clonecost.data.pictures import Background
from clonecost.data.safetensors_file import read_safetensors
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import must_fit_memory, regular_file
from clonecost.types import LabelledInputs, Progress, Shape

_INPUTS = ("inputs", "images", "x")
_LABELS = ("labels", "y")
_CLASSES = "classes"


def read(
    path: Path, split: Split, shape: Shape | None, progress: Progress,
    background: Background | None = None,
) -> LabelledInputs:  # fmt: skip
    """The data at `path` as (n, C, H, W) uint8; data without labels have labels of -1.

    A file holds `inputs` (or `images`, `x`): uint8 or float in [0, 1], as (n, C, H, W),
    (n, H, W, C) or (n, H, W) with C = 1 or 3; and perhaps `labels` (or `y`): integers (n,). An .npz
    may also hold the names of its `classes`. A file has the same rows for both splits.

    A folder has one subfolder of pictures for each class, or pictures without labels. Subfolders
    that are whole numbers are the labels; words are numbered in sorted order. If the folder has
    both `train` and `test`, the one for `split` is read, else the folder itself. Pictures of
    different sizes need a `shape` (C, H, W), to which each is resized.

    Args:
        background: what is seen behind the transparent pixels of pictures.

    Raises:
        DataError: the path does not exist, the format is unknown, a file is damaged or too large
            for the memory, or values are out of range.

    Example:
        >>> read(Path("mine.npz"), "test", None, no_progress).shape  # doctest: +SKIP
        (3, 32, 32)
    """
    if path.is_dir():
        return read_folder(path, split, shape, background, progress)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}.", Advice("check the path"))
    regular_file(path)
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".safetensors"):
        raise DataError(
            f"{path} is not in a format that is read here.",
            Advice("give an .npz or .safetensors file, or a folder of images"),
        )
    if suffix == ".npz":
        return _of_npz(path)
    return _labelled(path, read_safetensors(path, (*_INPUTS, *_LABELS)), ())


def _of_npz(path: Path) -> LabelledInputs:
    arrays = read_npz(path, (*_INPUTS, *_LABELS, _CLASSES))
    names = arrays.pop(_CLASSES, None)
    classes = () if names is None else tuple(map(str, names.reshape(-1).tolist()))
    try:
        tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    except (TypeError, ValueError) as error:  # words, dates, records
        raise DataError(
            f"{path} cannot be read ({error}).",
            Advice("save plain numeric arrays with numpy.savez"),
        ) from error
    return _labelled(path, tensors, classes)


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
    unsigned, labels = labels.dtype == torch.uint64, labels.reshape(-1).long()
    if unsigned and len(labels) and int(labels.min()) < 0:  # above 2^63 - 1, it would wrap
        first = int(labels.lt(0).int().argmax())
        raise DataError(
            f"{path} has the label {int(labels[first]) + 2**64} in row {first + 1:,}, which is no "
            "number of a class.",
            Advice("number the classes from 0"), Advice("leave out rows without a label"),
        )  # fmt: skip
    must_be_labels(labels, str(path))
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
    must_fit_memory(str(path), inputs.numel())
    pixels = torch.empty(inputs.shape, dtype=torch.uint8)
    step = max(1, CHUNK // max(1, inputs[:1].numel()))
    for start in range(0, len(inputs), step):
        part = inputs[start : start + step].float() * 255
        pixels[start : start + step] = part.round_()
    return pixels
