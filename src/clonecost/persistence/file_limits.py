"""What may be opened, and how much of it: regular files only, and no more than memory holds.

Sizes come from headers, before memory is taken: a few kilobytes can state terabytes. This module is
the one source of all limits; `docs/data.md` lists them.
"""

import os
import stat
from pathlib import Path

from clonecost.errors import Advice, CloneCostError, DataError, Remedy
from clonecost.safe_text import first_line

PICTURE_PIXELS = 89_478_485  # of one picture, width times height: the limit of Pillow's own warning
MEMORY_SHARE = 0.75  # of the free memory, for the data of one file or folder
STATED_HEADER = 100_000_000  # bytes of a safetensors header, as in the safetensors library
STATED_LENGTH = 8  # bytes before that header, which state its length
ARRAY_HEADER = 65_536  # bytes of the header of an array in an .npz file
# Compressed data that grow more than this, and to more than `SMALL`, are no pictures.
INFLATION = 200
SMALL = 1 << 30  # bytes
DEFLATE = 1_032  # the most that deflate can grow
UNPACKED = 1 << 30  # bytes of a published archive; those of CIFAR unpack to 185 MB
TABLE_COLUMNS = 20_000  # of a CSV file
TABLE_HEADER = 1 << 22  # bytes of a CSV file's first line
# Memory of a CSV file while it is read: five times its size, and 46 bytes a cell of numbers.
# Measured, in sizes of the file: 7.5 for numbers of 16 decimals, 9.3 of five, 19 for single digits.
# A word takes 150 bytes more. The most that is asked for is 24 sizes of the file: words of five
# letters, each another one, take 32, which is still within the free memory, of which `MEMORY_SHARE`
# may be used.
TABLE_CELL, TABLE_WORD, TABLE_GROWTH = 46, 150, 24
ROW_GROUP = 1 << 28  # bytes of a Parquet file that are read for one picture; four are kept
CLASSES = 100_000  # the highest class index
NAMES_FILE = 1 << 24  # bytes of a file of class names
SPEC_FILE = 1 << 24  # bytes of a TOML file
KEY_PARTS = 32  # of a dotted key in one: the time to read a key grows with their square
LOG_LINE = 1 << 20  # bytes of one line of an API's log
LOG_ROWS = 20_000_000  # lines of one
LOG_PRINCIPALS = 100_000  # in one
ONNX_FILE = 1 << 31  # bytes of a protobuf: the format has no larger ones

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def regular_file(path: Path, error: type[CloneCostError] = DataError) -> int:
    """The size of a file in bytes; everything else is refused before it is opened.

    A pipe would wait for ever, and a device has no end. A link to a regular file is one.

    Args:
        error: the class of the error, by what the file is for.

    Raises:
        CloneCostError: nothing is there, it is no regular file, or it cannot be looked at.

    Example:
        >>> regular_file(Path("model.onnx"))  # doctest: +SKIP
        1839201
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"There is no file {path}.", Advice("check the path")) from None
    except (OSError, ValueError) as problem:  # no permission, a circle of links, a null byte
        raise error(f"{path} cannot be opened ({problem}).", Advice("check the path")) from problem
    if not stat.S_ISREG(found.st_mode):
        kind = next((word for test, word in _KINDS if test(found.st_mode)), "no file")
        raise error(f"{path} is {kind}, not a regular file.", Advice("give a regular file"))
    return found.st_size


def check_safetensors(path: Path, error: type[CloneCostError] = DataError) -> None:
    """Refuse a file that is not regular, or whose header is longer than the file or the limit.

    Args:
        error: the class of the error, by what the file is for.

    Raises:
        CloneCostError: the file is none, or no safetensors file.
    """
    size = regular_file(path, error)
    try:
        with path.open("rb") as stream:
            stated = int.from_bytes(stream.read(STATED_LENGTH), "little")
    except OSError as problem:
        raise error(
            f"{path} cannot be read ({first_line(problem)}).", Advice("save it again")
        ) from problem
    if stated > min(STATED_HEADER, size - STATED_LENGTH):
        raise error(
            f"{path} is not a safetensors file: its header states {stated:,} bytes, and the file "
            f"has {size:,} (the limit is {STATED_HEADER:,}).",
            Advice("save it again"),
        )


def at_home(path: str | Path) -> Path:
    """The path with the home folder for a leading `~`; a user that does not exist is a name.

    Example:
        >>> at_home("data/mine.npz")
        PosixPath('data/mine.npz')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def must_fit_memory(what: str, size: int, *remedies: Remedy) -> None:
    """Refuse data of `size` bytes that would not fit into the free memory.

    Raises:
        DataError: they need more than `MEMORY_SHARE` of it.

    Example:
        >>> must_fit_memory("mine.npz", 1_000)
    """
    free = free_memory()
    if free is not None and size > free * MEMORY_SHARE:
        raise DataError(
            f"{what} needs {_gib(size)} GiB of memory, and {_gib(int(free * MEMORY_SHARE))} GiB "
            f"may be used ({MEMORY_SHARE:.0%} of what is free)",
            *(remedies or (Advice("use fewer rows"),)),
        )


def free_memory() -> int | None:
    """The bytes that this process can still take: of the machine, or of its control group."""
    limits = [_machine(), _group()]
    return min((limit for limit in limits if limit is not None), default=None)


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None  # not Linux: the whole memory where it is known, else no limit


def _group() -> int | None:
    """What is left of a container's limit (cgroup 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        most = int((folder / "memory.max").read_text())
        return max(0, most - int((folder / "memory.current").read_text()))
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f}"
