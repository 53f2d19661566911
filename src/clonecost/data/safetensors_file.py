"""Tensors of a .safetensors file, whose stated sizes are checked before memory is taken."""

from collections.abc import Collection
from pathlib import Path

from torch import Tensor

from clonecost.errors import Advice, CloneCostError, DataError
from clonecost.persistence.file_limits import STATED_HEADER, must_fit_memory, regular_file
from clonecost.safe_text import first_line

_LENGTH = 8  # bytes before the header, which state its length


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
            stated = int.from_bytes(stream.read(_LENGTH), "little")
    except OSError as problem:
        raise error(
            f"{path} cannot be read ({first_line(problem)}).", Advice("save it again")
        ) from problem
    if stated > min(STATED_HEADER, size - _LENGTH):
        raise error(
            f"{path} is not a safetensors file: its header states {stated:,} bytes, and the file "
            f"has {size:,} (the limit is {STATED_HEADER:,}).",
            Advice("save it again"),
        )


def read_safetensors(path: Path, wanted: Collection[str]) -> dict[str, Tensor]:
    """The tensors of a file with the `wanted` names, as far as they are there.

    Raises:
        DataError: no such file, damaged, or larger than the memory.
    """
    from safetensors import SafetensorError, safe_open  # imported for this format only

    check_safetensors(path)
    must_fit_memory(str(path), path.stat().st_size)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name in wanted}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error)}).", Advice("save it again")
        ) from error
