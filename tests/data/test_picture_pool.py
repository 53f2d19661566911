"""A pool on disk gives the rows of the whole folder, and decodes only those that are asked for."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from clonecost.data import load, load_proxy, picture_pool, pictures
from clonecost.data.picture_pool import PoolRows
from clonecost.errors import DataError, SpecError
from clonecost.types import ProxyData

SHAPE = (3, 8, 8)


def jpeg(seed: int, mode: str = "RGB", kind: str = "jpeg") -> bytes:
    rng = np.random.default_rng(seed)
    channels = {"RGB": (3,), "L": ()}[mode]
    values = rng.integers(0, 256, (9 + seed % 4, 10, *channels), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 60 pictures, every third grey."""
    root = tmp_path_factory.mktemp("pool") / "pictures"
    for number in range(60):
        path = root / ("cat" if number < 40 else "dog") / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number, "RGB" if number % 3 else "L"))
    return root


def as_tar(folder: Path) -> Path:
    path = folder.parent / "pool.tar"
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*.jpg")):
            tar.add(file, file.name)
    return path


def as_parquet(folder: Path) -> Path:
    path = folder.parent / "pool.parquet"
    table = pa.table({"image": [file.read_bytes() for file in sorted(folder.rglob("*.jpg"))]})
    pq.write_table(table, path, row_group_size=7)
    return path


def as_shards(folder: Path) -> Path:
    shards = folder.parent / "shards"
    shards.mkdir()
    as_tar(folder).rename(shards / "0.tar")
    return shards


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that are decoded from now on."""
    names: list[str] = []
    inside = pictures.decode_aloud

    def noted(source: io.BytesIO, where: str, *rest: object, **how: object) -> torch.Tensor:
        names.append(where)
        return inside(source, where, *rest, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(picture_pool, "decode_aloud", noted)
    return names


def rows_of(pool: ProxyData) -> PoolRows:
    assert isinstance(pool.inputs, PoolRows)
    return pool.inputs


@pytest.mark.parametrize("kind", [Path, as_tar, as_parquet, as_shards])
def test_any_rows_in_any_order_are_those_of_the_whole(
    kind: Callable[[Path], Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_pool, "KEPT", 20 * 192)  # a third of the rows
    whole = load(str(folder), "train", shape=SHAPE)
    pool = load_proxy(str(kind(folder)), shape=SHAPE)
    rng = torch.Generator().manual_seed(0)
    for count in (1, 5, 90, 5):
        index = torch.randint(60, (count,), generator=rng)
        assert torch.equal(pool.inputs[index], whole.inputs[index])
    assert torch.equal(pool.to("cpu").inputs, whole.inputs)
    assert torch.equal(pool.rows(slice(3, 5)), whole.rows(slice(3, 5)))
    assert (len(pool), pool.shape, pool.inputs.shape) == (60, SHAPE, (60, *SHAPE))
    if kind is Path:
        assert (pool.classes, pool.labels.tolist()) == (whole.classes, whole.labels.tolist())


def test_only_what_is_asked_is_decoded_and_the_last_rows_are_kept(
    folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_pool, "KEPT", 4 * 192)  # memory for four rows
    monkeypatch.setattr(picture_pool, "_LOOKED_AT", 2)
    pool = load_proxy(str(folder), shape=SHAPE)
    assert pool.fingerprint
    assert sorted(decoded) == ["cat/00.jpg", "cat/30.jpg"]  # a look at the first moment
    decoded.clear()
    first = pool.inputs[torch.tensor([50, 7, 7, 9])]
    assert sorted(decoded) == ["cat/07.jpg", "cat/09.jpg", "dog/50.jpg"]
    assert torch.equal(pool.inputs[torch.tensor([9, 50])], first[[3, 0]])
    assert len(decoded) == 3
    pool.inputs[torch.tensor([1, 2])]  # the oldest two make room
    assert len(decoded) == 5
    pool.inputs[torch.tensor([50, 1, 2])]
    assert len(decoded) == 5
    pool.inputs[torch.tensor([7])]
    assert len(decoded) == 6


def test_a_subset_has_the_classes_that_it_names(folder: Path) -> None:
    pool = load_proxy(f"{folder}:dog", shape=SHAPE)
    assert (len(pool), pool.classes, set(pool.labels.tolist())) == (20, ("dog",), {0})
    assert rows_of(pool).file_of(0) == "dog/40.jpg"
    with pytest.raises(SpecError, match="unknown class"):
        load_proxy(f"{folder}:cow", shape=SHAPE)


def test_the_fingerprint_is_of_names_sizes_shape_and_background(folder: Path) -> None:
    pools = [
        load_proxy(str(folder), shape=SHAPE),
        load_proxy(str(folder), shape=(3, 8, 9)),
        load_proxy(str(folder), shape=SHAPE, background="white"),
        load_proxy(f"{folder}:dog,cat", shape=SHAPE),
    ]
    assert len({pool.fingerprint for pool in pools}) == len(pools)
    assert load_proxy(str(folder), shape=SHAPE).fingerprint == pools[0].fingerprint


def pictures_in(folder: Path, count: int, broken: set[int]) -> Path:
    folder.mkdir()
    for number in range(count):
        content = b"\xff\xd8 no picture" if number in broken else PNG
        (folder / f"{number:04}.png").write_bytes(content)
    return folder


PNG = jpeg(0, kind="png")


def test_a_picture_that_does_not_decode_is_skipped_and_named(tmp_path: Path) -> None:
    folder = pictures_in(tmp_path / "few", 200, {3, 4})
    (folder / "0005.png").write_bytes(jpeg(1, kind="png"))
    pool = load_proxy(str(folder), shape=SHAPE)
    rows = pool.inputs[torch.tensor([5, 3, 6])]
    assert torch.equal(rows[0], rows[1])  # the next one that can be used
    assert not torch.equal(rows[1], rows[2])
    found = rows_of(pool)
    assert sorted(found.unusable) == [3, 4]
    assert "0003.png cannot be decoded" in found.unusable[3].what
    assert [found.file_of(place) for place in (3, 4, 5)] == ["0005.png"] * 3


def test_more_than_a_share_is_refused_when_it_is_found(tmp_path: Path) -> None:
    refusal = r"More than 1% of the 200 pictures in .* cannot be used, such as this one: .*\.png"
    folder = pictures_in(tmp_path / "many", 200, {1, 2, 3})
    pool = load_proxy(str(folder), shape=SHAPE)  # the look did not meet them
    with pytest.raises(DataError, match=refusal):
        pool.inputs[torch.arange(10)]
    with pytest.raises(DataError, match=refusal):
        load_proxy(str(pictures_in(tmp_path / "all", 200, set(range(200)))), shape=SHAPE)


def test_transparent_pictures_need_a_background(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 255, 0)).save(tmp_path / "clear.png")
    with pytest.raises(DataError, match=r"transparent pixels.* `background='white'`"):
        load_proxy(str(tmp_path), shape=SHAPE)
    pool = load_proxy(str(tmp_path), shape=SHAPE, background="white")
    assert int(pool.inputs[:1].min()) == 255


def test_the_first_frame_of_several_is_the_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    pool = load_proxy(str(tmp_path), shape=SHAPE)
    assert pool.inputs[:1][0, :, 0, 0].tolist() == [255, 0, 0]
