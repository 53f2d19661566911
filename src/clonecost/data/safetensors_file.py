"""Tensors of a .safetensors file, whose stated sizes are checked before memory is taken."""

from collections.abc import Collection
from pathlib import Path

from torch import Tensor

from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import check_safetensors, must_fit_memory
from clonecost.safe_text import first_line


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
