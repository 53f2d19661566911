"""A pool of pictures on disk: each row is read and decoded when it is asked for.

Memory holds the names of the pictures and at most `KEPT` bytes of rows, whatever the size of the
pool. Several threads decode the rows of one request.
"""

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from clonecost.data.class_names import must_be_labels
from clonecost.data.encoded_pictures import (
    EncodedPictures,
    has_pictures,
    in_folder,
    in_tars,
    one_picture,
    only,
)
from clonecost.data.fitting import fit_rows
from clonecost.data.parquet_pictures import in_parquet
from clonecost.data.pictures import SUFFIXES as PICTURES
from clonecost.data.pictures import Background, decode_aloud
from clonecost.data.subsets import members
from clonecost.errors import DataError
from clonecost.persistence.cores import allowed_cores
from clonecost.types import Shape

KEPT = 1 << 28  # bytes of decoded rows that are kept
UNUSABLE = 0.01  # share of the pictures of a pool that may be unusable
_LOOKED_AT = 64  # pictures that are decoded when a pool is opened
_TOO_MANY = 6  # unusable ones among these: far above the share
_AT_ONCE = 256  # rows that are decoded between two stores
SUFFIXES = (".tar", ".tgz", ".parquet")


@dataclass
class _Ring:
    """The rows that were decoded last; a new row takes the place of the oldest."""

    rows: Tensor  # (slots, C, H, W) uint8; untouched memory takes no space
    slot_of: Tensor  # (n,) the slot of each row of the pool, -1: none
    place_of: Tensor  # (slots,) the row in each slot, -1: none
    next: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def store(self, places: Tensor, rows: Tensor) -> None:
        slots = len(self.rows)
        places, rows = places[-slots:], rows[-slots:]
        taken = torch.arange(self.next, self.next + len(places)) % slots
        before = self.place_of[taken]
        self.slot_of[before[before >= 0]] = -1
        self.rows[taken], self.place_of[taken] = rows, places
        self.slot_of[places] = taken
        self.next = int(taken[-1] + 1) % slots


@dataclass(frozen=True)
class PoolRows:
    """The pictures of a pool by their places: (n, C, H, W) uint8, each fitted as `fit` does.

    A picture that cannot be decoded is `unusable`: its row is that of the next one that can be.

    Example:
        >>> rows = opened(Path("pictures"), (3, 224, 224), None)  # doctest: +SKIP
        >>> rows[torch.tensor([7, 3])].shape  # doctest: +SKIP
        torch.Size([2, 3, 224, 224])
    """

    where: Path
    pictures: EncodedPictures
    row_shape: Shape
    background: Background | None
    ring: _Ring
    unusable: dict[int, DataError] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def shape(self) -> Shape:
        """(n, C, H, W)."""
        return (len(self), *self.row_shape)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        places = torch.arange(len(self))[index]
        found = torch.empty(len(places), *self.row_shape, dtype=torch.uint8)
        with self.ring.lock:
            order = places.argsort()  # neighbours in a file are read together
            for part in order.split(_AT_ONCE):
                found[part] = self._rows(places[part])
        return found

    def _rows(self, places: Tensor) -> Tensor:
        """(m, C, H, W): some rows, of which those that are not kept are decoded."""
        wanted, back = places.unique(return_inverse=True)
        rows = torch.empty(len(wanted), *self.row_shape, dtype=torch.uint8)
        slots = self.ring.slot_of[wanted]
        kept = slots >= 0
        rows[kept] = self.ring.rows[slots[kept]]
        if not kept.all():
            missing = wanted[~kept]
            rows[~kept] = made = torch.stack(self._decoded(missing.tolist()))
            self.ring.store(missing, made)
        return rows[back]

    def _decoded(self, places: Sequence[int]) -> list[Tensor]:
        found = list(_workers().map(self._one, places))
        return [self._usable(place, row) for place, row in zip(places, found, strict=True)]

    def _one(self, place: int) -> Tensor | DataError:
        """(C, H, W) uint8, or why the picture has no pixels."""
        content = self.pictures.read(place)
        try:
            picture = self._picture(place, content)
        except DataError as error:
            return error
        return fit_rows(picture[None], self.row_shape)[0]

    def _picture(self, place: int, content: bytes) -> Tensor:
        """(C, h, w) uint8."""
        return decode_aloud(
            io.BytesIO(content), self.pictures.name(place), self.background, first_frame=True
        )

    def _usable(self, place: int, row: Tensor | DataError) -> Tensor:
        """The row, or that of the next picture that has pixels."""
        while isinstance(row, DataError):
            self.unusable[place] = row
            self._must_be_few(len(self.unusable) > UNUSABLE * len(self))
            place = self._usable_from(place)
            row = self._one(place)
        return row

    def _usable_from(self, place: int) -> int:
        """The place, or the next one whose picture is not known to be unusable."""
        while place in self.unusable:
            place = (place + 1) % len(self)
        return place

    def look(self) -> None:
        """Decode some rows, evenly spaced, so that a pool of no use is refused at once.

        Raises:
            DataError: too many of them have no pixels.
        """
        step = -(-len(self) // _LOOKED_AT)
        places = range(0, len(self), step)
        for place, row in zip(places, _workers().map(self._one, places), strict=True):
            if isinstance(row, DataError):
                self.unusable[place] = row
        failed = len(self.unusable)
        self._must_be_few(failed >= _TOO_MANY or failed > UNUSABLE * len(self))

    def _must_be_few(self, many: bool) -> None:
        if not many:
            return
        error = next(iter(self.unusable.values()))
        raise DataError(
            f"More than {UNUSABLE:.0%} of the {len(self):,} pictures in {self.where} cannot be "
            f"used, such as this one: {error.what.removesuffix('.')}",
            *error.remedies, got=error.got, want=error.want,
        )  # fmt: skip

    def whole(self, place: int) -> Tensor:
        """(C, h, w) uint8: a picture before it is fitted.

        Raises:
            DataError: it has no pixels.
        """
        return self._picture(place, self.pictures.read(place))

    def file_of(self, place: int) -> str:
        """The file whose picture the row is."""
        return self.pictures.name(self._usable_from(place))

    def parts(self) -> Iterator[bytes]:
        """What a digest of the rows is made of: names and sizes of the files, and the settings."""
        for fact in self.pictures.facts():
            yield fact.encode(errors="surrogateescape") + b"\n"
        yield f"{self.row_shape} {self.background}".encode()


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    """Threads that decode: Pillow lets others run meanwhile."""
    # module: the warnings of Pillow on odd metadata, which `decode` silences
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    count = max(2, round(allowed_cores()))
    return ThreadPoolExecutor(max_workers=min(16, count), thread_name_prefix="decode")


def is_pool(path: Path) -> bool:
    """Whether `opened` reads this path: a folder, or a TAR, Parquet or picture by its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return path.is_dir() or not {*suffixes}.isdisjoint(SUFFIXES) or path.suffix.lower() in PICTURES


def opened(
    path: Path, shape: Shape, background: Background | None, subset: str = ""
) -> tuple[PoolRows, Tensor, tuple[str, ...]]:
    """The rows of a pool, their labels (n,) int64 (-1: none), and the names of its classes.

    Args:
        path: a folder of pictures, or of TAR or Parquet files; or one such file; or one picture.
        subset: names of classes, separated by commas; empty: all.

    Raises:
        DataError: nothing can be read there, or more than 1 % of the first pictures are unusable.
        SpecError: a class of the subset is unknown.
    """
    pictures = _pictures(path)
    if subset:
        pictures = only(pictures, members(str(path), subset, pictures.classes))
    labels = torch.from_numpy(pictures.labels)
    must_be_labels(labels, str(path))
    slots = max(1, min(len(pictures), KEPT // prod(shape)))
    ring = _Ring(
        torch.empty(slots, *shape, dtype=torch.uint8),
        torch.full((len(pictures),), -1), torch.full((slots,), -1),
    )  # fmt: skip
    rows = PoolRows(path, pictures, shape, background, ring)
    rows.look()
    return rows, labels, pictures.classes


def _pictures(path: Path) -> EncodedPictures:
    if path.suffix.lower() in PICTURES and not path.is_dir():
        return one_picture(path)
    if not path.is_dir():
        return (in_parquet if path.suffix.lower() == ".parquet" else in_tars)([path])
    both = [path / "train", path / "test"]
    folder = both[0] if all(part.is_dir() for part in both) else path
    for suffix, read in ((".tar", in_tars), (".parquet", in_parquet)):
        files = sorted(folder.glob(f"*{suffix}"))
        if files and not has_pictures(folder):
            return read(files)
    return in_folder(folder)
