"""Small files in the official formats, and a machine without any other data."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from PIL import Image

from clonecost.data import locations


def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide this machine's data folders; the cache folder, which does not exist yet."""
    monkeypatch.delenv("CLONECOST_DATA", raising=False)
    monkeypatch.setattr(locations, "SYSTEM", tmp_path / "system")
    monkeypatch.delenv("CLONECOST_CACHE", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda app: str(tmp_path / "cache" / app))
    return locations.cache_folder()


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(values: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_idx(folder: Path, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The two gzipped files of a split, images (n, H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        content = gzip.compress(idx_bytes(values), mtime=0)
        (folder / f"{split}-{name}-ubyte.gz").write_bytes(content)


def cifar_records(images: np.ndarray, *labels: np.ndarray) -> bytes:
    columns = [values.astype(np.uint8)[:, None] for values in labels]
    return np.concatenate([*columns, images.reshape(len(images), -1)], axis=1).tobytes()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def png(image: np.ndarray) -> bytes:
    """(C, H, W) uint8 as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(stream, "png")
    return stream.getvalue()
