"""The files of one run, written so that a crash leaves the old one or the new one, never half."""

import json
import os
from pathlib import Path

from torch import Tensor, nn

from clonecost.errors import RunError
from clonecost.persistence.disk import FULL, sync_folder
from clonecost.result import Result

LEDGER, RESULT, SPEC = "ledger.sqlite", "result.json", "spec.toml"
CLONE, SAMPLES = "clone.safetensors", "samples.safetensors"
SEARCH, SNAPSHOTS = "search.safetensors", "snapshots"
TRANSFER = "transfer.json"


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
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        full = error.errno in FULL
        remedy = (
            f"make room, then `clonecost resume {path.parent}`: what was bought is kept"
            if full
            else "check the folder's permissions"
        )
        raise RunError(f"{path} cannot be written: {error.strerror}; {remedy}") from error


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    """As safetensors, the same bytes for the same content."""
    from safetensors.torch import save

    # one key: several would stand in another order in every process
    metadata = {"clonecost": json.dumps(about, sort_keys=True)} if about else None
    write(path, save({name: t.contiguous() for name, t in tensors.items()}, metadata=metadata))


def write_network(path: Path, network: nn.Module, about: dict[str, str]) -> None:
    """Save weights with what is needed to build the network again."""
    tensors = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    write_tensors(path, tensors, about)


def as_text(result: Result) -> str:
    """result.json as it is written."""
    return result.model_dump_json(indent=2) + "\n"


def write_result(run: Path, result: Result) -> None:
    write(run / RESULT, as_text(result))
