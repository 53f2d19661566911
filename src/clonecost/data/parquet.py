"""Data sets in the Hugging Face layout: Parquet shards of encoded images and labels.

Decoding 50,000 PNGs takes some seconds, so the decoded bytes are kept in the cache folder as
safetensors. If the cache cannot be read or written, the images are decoded again each time.
"""

import hashlib
import io
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clonecost.data.catalogue import Split
from clonecost.data.fitting import fit
from clonecost.data.locations import cache_folder
from clonecost.data.pictures import decode
from clonecost.errors import Advice, DataError
from clonecost.persistence.atomic_write import atomic_file
from clonecost.persistence.file_limits import must_fit_memory, regular_file
from clonecost.safe_text import first_line
from clonecost.types import LabelledInputs, Progress, Shape

if TYPE_CHECKING:
    import pyarrow.parquet as pq

IMAGES = ("img", "image")
LABELS = ("fine_label", "label", "labels")
_SUBFOLDERS = (".", "data", "plain_text", "cropped_digits", "mnist", "fashion_mnist", "cifar100")
_SHARD = re.compile(r"-of-(\d+)\.parquet$")
_BATCH = 1000  # images decoded between two reports of progress
_VERSION = 2  # version of the decoded copies; increase it when decoding changes


def find(folder: Path, split: Split) -> list[Path]:
    """The shards of a split in order, or an empty list."""
    for name in _SUBFOLDERS:
        shards = sorted((folder / name).glob(f"{split}*.parquet"))
        if shards:
            return shards
    return []


def read(paths: list[Path], shape: Shape, progress: Progress) -> LabelledInputs:
    """(n, *shape) uint8 and (n,) labels; `progress` counts images.

    Raises:
        DataError: a shard is missing, damaged or has other columns; an image is damaged or of
            another size; pyarrow is not installed.
    """
    _check_complete(paths)
    copy = _copy_of(paths, shape)
    kept = _load_copy(copy)
    if kept is None:
        kept = _decode(paths, shape, progress)
        _save_copy(kept, copy)
    return kept


def _check_complete(paths: list[Path]) -> None:
    stated = {int(match[1]) for path in paths if (match := _SHARD.search(path.name))}
    if stated and stated != {len(paths)}:
        raise DataError(
            f"{paths[0].parent} holds {len(paths)} shards of {max(stated)} ({paths[0].name}, ...).",
            Advice("get the missing ones"),
        )


def pyarrow_parquet(path: Path) -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`, which are an extra.

    Raises:
        DataError: they are not installed; the sentence names `path`.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            f"{path} needs the package pyarrow.", Advice("run `pip install 'clonecost[parquet]'`")
        ) from error
    return pa, pq


def _decode(paths: list[Path], shape: Shape, progress: Progress) -> LabelledInputs:
    pa, pq = pyarrow_parquet(paths[0])
    parts: list[LabelledInputs] = []
    for path in paths:
        regular_file(path)
        try:
            with pq.ParquetFile(path) as file:
                _must_fit(file, path, shape)
                parts.append(_decode_shard(file, path, shape, progress))
        except (pa.ArrowException, OSError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read ({first_line(error)}).", Advice("get the file again")
            ) from error
    data = LabelledInputs(
        torch.cat([part.inputs for part in parts]), torch.cat([part.labels for part in parts])
    )
    if not len(data):
        raise DataError(f"{paths[0]} holds no rows.", Advice("get the file again"))
    return data


def _decode_shard(
    file: "pq.ParquetFile", path: Path, shape: Shape, progress: Progress
) -> LabelledInputs:
    columns = _columns(path, file.schema_arrow.names)
    total, done = file.metadata.num_rows, 0
    inputs, labels = np.empty((total, *shape), np.uint8), np.empty(total, np.int64)
    for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
        images, numbers = (batch.column(name).to_pylist() for name in columns)
        for row, image in enumerate(images, done):
            inputs[row] = _pixels(image, shape, path)
        labels[done : done + len(numbers)] = numbers
        done += len(numbers)
        progress(f"decoding {path.name}", done, total)
    return LabelledInputs(torch.from_numpy(inputs), torch.from_numpy(labels))


def _must_fit(file: "pq.ParquetFile", path: Path, shape: Shape) -> None:
    """Refuse a shard whose footer states more rows or larger groups than the memory holds."""
    about = file.metadata
    groups = [about.row_group(k).total_byte_size for k in range(about.num_row_groups)]
    pixels = about.num_rows * (math.prod(shape) + 8)
    must_fit_memory(str(path), pixels + max(groups, default=0))


def _columns(path: Path, names: list[str]) -> tuple[str, str]:
    """The names of the image and the label column."""
    found = [next((name for name in usual if name in names), None) for usual in (IMAGES, LABELS)]
    image, label = found
    if image is None or label is None:
        raise DataError(
            f"{path} has the columns {', '.join(names)}; want one of {'/'.join(IMAGES)} and one "
            f"of {'/'.join(LABELS)}.",
            Advice("rename the columns"),
        )
    return image, label


def _pixels(row: object, shape: Shape, path: Path) -> np.ndarray:
    """One encoded image -> (C, H, W) uint8."""
    content = row.get("bytes") if isinstance(row, dict) else row
    if not isinstance(content, bytes):
        raise DataError(
            f"{path} has a row without the bytes of an image.", Advice("get the file again")
        )
    pixels = decode(io.BytesIO(content), f"an image of {path}", None)
    if pixels.shape[1:] != shape[1:]:
        raise DataError(
            f"{path} holds an image of another size than this data set",
            Advice("use the files of this data set"),
            got=f"{pixels.shape[1]}x{pixels.shape[2]} pixels",
            want=f"{shape[1]}x{shape[2]}",
        )
    return fit(LabelledInputs(pixels[None], torch.zeros(1)), shape).inputs[0].numpy()


def _copy_of(paths: list[Path], shape: Shape) -> Path:
    """The path of the decoded copy of exactly these files: changed files have another path."""
    key = hashlib.sha256(repr((_VERSION, shape)).encode())
    for path in paths:
        facts = path.stat()
        key.update(repr((str(path.resolve()), facts.st_size, facts.st_mtime_ns)).encode())
    return cache_folder() / "decoded" / f"{key.hexdigest()[:32]}.safetensors"


def _load_copy(copy: Path) -> LabelledInputs | None:
    try:
        kept = load_file(copy)
        return LabelledInputs(kept["inputs"], kept["labels"])
    except (OSError, SafetensorError, KeyError):
        return None  # missing, or truncated by a full disk: decode again


def _save_copy(data: LabelledInputs, copy: Path) -> None:
    with suppress(OSError, SafetensorError):  # the copy is optional
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(copy) as fresh:
            save_file({"inputs": data.inputs, "labels": data.labels}, fresh)
