"""Pictures in folders and in Parquet shards. Any bytes, and altered files."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.data_files import pixels
from tests.support.fuzzing import broken, fuzz, holds_its_promise

from clonecost.data import parquet, user_files
from clonecost.types import no_progress

COLOUR = Image.fromarray(pixels(12, 9, 3))
SUFFIXES = {"png": "png", "jpg": "jpeg", "bmp": "bmp", "webp": "webp", "tif": "tiff",
            "ppm": "ppm", "gif": "gif"}  # fmt: skip


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned
WHOLE = {suffix: saved(COLOUR, kind) for suffix, kind in SUFFIXES.items()}
ODD = [
    saved(COLOUR, "jpeg", exif=EXIF), saved(COLOUR.convert("P"), "png"),
    saved(COLOUR.convert("CMYK"), "jpeg"), saved(COLOUR.convert("CMYK"), "tiff"),
    saved(COLOUR.convert("RGBA"), "png"), saved(COLOUR.convert("1"), "png"),
    saved(Image.fromarray(pixels(12, 9).astype(np.uint16) * 257), "png"),
]  # fmt: skip


def png(header: bytes, kind: bytes, more: bytes) -> bytes:
    """A PNG whose chunks have right checksums, so that their content is read."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + check

    rows = zlib.compress(bytes(9 * 12 * 4))
    parts = (b"IHDR", header), (kind, more), (b"IDAT", rows), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


HEADERS = broken(b"\0\0\0\x09\0\0\0\x0c\x08\x02\0\0\0", b"\0\0\0\x09\0\0\0\x0c\x08\x03\0\0\0")
KINDS = st.sampled_from([b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"iTXt", b"gAMA", b"acTL"])
CHUNKED = st.builds(
    png, HEADERS, KINDS, broken(EXIF.tobytes(), b"a\0\0" + zlib.compress(b"b" * 99))
)


@fuzz
@given(st.sampled_from(list(SUFFIXES)), broken(*WHOLE.values(), *ODD) | CHUNKED)
def test_a_folder(tmp_path: Path, suffix: str, content: bytes) -> None:
    for name in SUFFIXES:
        (tmp_path / f"one.{name}").unlink(missing_ok=True)
    (tmp_path / f"one.{suffix}").write_bytes(content)
    holds_its_promise(lambda: user_files.read(tmp_path, "test", (3, 8, 8), no_progress, "white"))
    holds_its_promise(lambda: user_files.read(tmp_path, "test", None, no_progress))


def shard(content: bytes) -> bytes:
    stream = io.BytesIO()
    rows = [{"bytes": WHOLE["png"], "path": "a"}, {"bytes": content, "path": None}]
    pq.write_table(pa.table({"image": rows, "label": [0, 1]}), stream)
    return stream.getvalue()


SHARD = shard(WHOLE["png"])


def test_the_seeds_are_accepted(tmp_path: Path) -> None:
    header = b"\0\0\0\x09\0\0\0\x0c\x08\x02\0\0\0"
    odd = [*ODD, png(header, b"gAMA", bytes(4))]
    files = {f"{number}.png": content for number, content in enumerate(odd)}
    files |= {f"one.{suffix}": content for suffix, content in WHOLE.items()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = user_files.read(tmp_path, "test", (3, 8, 8), no_progress, "white")
    assert len(found.inputs) == len(files)
    path = tmp_path / "test-00000-of-00001.parquet"
    path.write_bytes(SHARD)
    assert len(parquet.read([path], (3, 12, 9), no_progress).inputs) == 2


@fuzz
@given(broken(SHARD) | broken(*WHOLE.values()).map(shard))
def test_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "test-00000-of-00001.parquet"
    path.write_bytes(content)
    holds_its_promise(lambda: parquet.read([path], (3, 12, 9), no_progress))
