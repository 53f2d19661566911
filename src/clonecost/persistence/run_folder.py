"""The files of one run, written so that a crash leaves the old one or the new one, never half."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from clonecost.errors import RunError
from clonecost.persistence.atomic_write import atomic_write
from clonecost.persistence.disk import FULL, file_digest

if TYPE_CHECKING:  # a run is verified without torch
    from torch import Tensor, nn

    from clonecost.result import Result

LEDGER, RESULT, SPEC = "ledger.sqlite", "result.json", "spec.toml"
CLONE, SAMPLES = "clone.safetensors", "samples.safetensors"
SEARCH, SNAPSHOTS = "search.safetensors", "snapshots"
TRANSFER, TRANSFERS, INPUTS = "transfer.json", "transfers", "inputs.bin"
REPORTED = (RESULT, SPEC, CLONE, SAMPLES, SEARCH, TRANSFER)  # what a report says is from these


def make(run: Path) -> None:
    """Create the folder.

    Raises:
        RunError: it cannot be made or written.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the run folder {run} cannot be made: {error.strerror}") from error
    if not os.access(run, os.W_OK):
        raise RunError(f"the run folder {run} cannot be written; name another with --out")


def write(path: Path, content: bytes | str) -> None:
    """Replace a file atomically.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        atomic_write(path, data)
    except OSError as error:
        full = error.errno in FULL
        remedy = (
            f"make room, then `clonecost resume {path.parent}`: what was bought is kept"
            if full
            else "check the folder's permissions"
        )
        raise RunError(f"{path} cannot be written: {error.strerror}; {remedy}") from error


def digest_of(content: bytes | str) -> str:
    """A file's content as the ledger records it."""
    data = content.encode() if isinstance(content, str) else content
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """A file on the disk as the ledger records it."""
    return f"sha256:{file_digest(path)}"


def is_run(folder: Path) -> bool:
    """Does it hold a ledger or a result?"""
    return (folder / LEDGER).is_file() or (folder / RESULT).is_file()


def runs_in(path: Path) -> list[Path]:
    """`path` itself if it is a run folder, else those of its direct sub-folders that are, by name.

    Raises:
        RunError: the folder does not exist, or holds no run.
    """
    if not path.is_dir():
        raise RunError(f"{path} is not a folder; name a run folder or one that holds run folders")
    if is_run(path):
        return [path]
    found = sorted(folder for folder in path.iterdir() if folder.is_dir() and is_run(folder))
    if not found:
        raise RunError(
            f"{path} is no run folder and holds none (no ledger.sqlite or result.json); "
            "name the folder that `clonecost audit` wrote"
        )
    return found


def write_tensors(path: Path, tensors: "dict[str, Tensor]", about: dict[str, str]) -> None:
    """As safetensors, the same bytes for the same content."""
    from safetensors.torch import save

    # one key: several would stand in another order in every process
    metadata = {"clonecost": json.dumps(about, sort_keys=True)} if about else None
    write(path, save({name: t.contiguous() for name, t in tensors.items()}, metadata=metadata))


def write_network(path: Path, network: "nn.Module", about: dict[str, str]) -> None:
    """Save weights with what is needed to build the network again."""
    tensors = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    write_tensors(path, tensors, about)


def as_text(result: "Result") -> str:
    """result.json as it is written."""
    return result.model_dump_json(indent=2) + "\n"


def write_result(run: Path, result: "Result") -> None:
    write(run / RESULT, as_text(result))
