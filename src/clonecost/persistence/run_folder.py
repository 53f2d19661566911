"""The files of one run, written atomically: a crash leaves the old or the new file, never half."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from clonecost.errors import Advice, RunError, RunWorkflow, SetKey
from clonecost.persistence.atomic_write import atomic_write
from clonecost.persistence.disk import FULL, file_digest
from clonecost.persistence.own_files import PRIVATE_FOLDER, make_folder

if TYPE_CHECKING:  # a run is verified without torch
    from torch import Tensor, nn

    from clonecost.result import Result

LEDGER, RESULT, SPEC = "ledger.sqlite", "result.json", "spec.toml"
CLONE, SAMPLES = "clone.safetensors", "samples.safetensors"
SEARCH, SNAPSHOTS, ROWS = "search.safetensors", "snapshots", "rows.safetensors"
TRANSFER, TRANSFERS, INPUTS = "transfer.json", "transfers", "inputs.bin"
REPLAYS, POOL = "replays", "pool.csv"
DETECTION, BENIGN = "detection.json", "benign"
EVENTS = "events.jsonl"  # without a digest: nothing is decided by it
LEDGERS = (TRANSFERS, BENIGN)  # folders of ledgers of their own
# the sources of a report
REPORTED = (RESULT, SPEC, CLONE, SAMPLES, SEARCH, TRANSFER, ROWS, DETECTION, POOL)


def make(run: Path, *inside: str) -> Path:
    """Create the folder, and folders inside it, one in the other; only the owner may read them.

    Returns:
        The innermost folder.

    Raises:
        RunError: the folder cannot be created or written, or one inside it is a link.
    """
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
        run.mkdir(PRIVATE_FOLDER, exist_ok=True)
        for name in inside:
            run = run / name
            make_folder(run)
    except OSError as error:
        raise RunError(
            f"The run folder {run} cannot be created: {error.strerror}.", SetKey("out")
        ) from error
    if not os.access(run, os.W_OK):
        raise RunError(f"The run folder {run} cannot be written.", SetKey("out"))
    return run


def is_inside(run: Path, name: str) -> bool:
    """Whether a recorded name is a plain path inside the folder, without a link on the way."""
    parts = name.split("/")
    if not set("\\:\0").isdisjoint(name) or not set(parts).isdisjoint({"", ".", ".."}):
        return False
    on_the_way = (run.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1))
    return not any(path.is_symlink() for path in on_the_way)


def write(path: Path, content: bytes | str, *, private: bool = True) -> None:
    """Replace a file atomically. A link is replaced, not followed.

    Args:
        private: only the owner may read it.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        atomic_write(path, data, private=private)
    except OSError as error:
        if error.errno in FULL:
            raise RunError(
                f"{path} cannot be written: {error.strerror}. All answers are kept, and the run "
                "can continue once the disk has room.",
                RunWorkflow("resume", path.parent),
            ) from error
        raise RunError(
            f"{path} cannot be written: {error.strerror}.",
            Advice("check the folder's permissions"),
        ) from error


def digest_of(content: bytes | str) -> str:
    """The digest of a file's content as in the ledger: "sha256:" and 64 hex digits.

    Example:
        >>> digest_of("")[:15]
        'sha256:e3b0c442'
    """
    data = content.encode() if isinstance(content, str) else content
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """The digest of a file on the disk as in the ledger."""
    return f"sha256:{file_digest(path)}"


def is_run(folder: Path) -> bool:
    """Whether the folder holds a ledger or a result."""
    return (folder / LEDGER).is_file() or (folder / RESULT).is_file()


def runs_in(path: Path) -> list[Path]:
    """`path` itself if it is a run folder, else its direct sub-folders that are, sorted by name.

    Raises:
        RunError: the folder does not exist, or holds no run.
    """
    if not path.is_dir():
        raise RunError(
            f"{path} is not a folder.",
            Advice("name a run folder, or a folder that holds run folders"),
        )
    if is_run(path):
        return [path]
    found = sorted(folder for folder in path.iterdir() if folder.is_dir() and is_run(folder))
    if not found:
        raise RunError(
            f"{path} is no run folder and holds none: it has no {LEDGER} and no {RESULT}.",
            Advice("name the folder that an audit wrote"),
        )
    return found


def write_tensors(path: Path, tensors: "dict[str, Tensor]", about: dict[str, str]) -> None:
    """Write a safetensors file: the same bytes for the same tensors and metadata.

    Raises:
        RunError: as `write`.
    """
    from safetensors.torch import save

    # one key: the order of several keys differs between processes
    metadata = {"clonecost": json.dumps(about, sort_keys=True)} if about else None
    write(path, save({name: t.contiguous() for name, t in tensors.items()}, metadata=metadata))


def write_network(path: Path, network: "nn.Module", about: dict[str, str]) -> None:
    """Save weights with the metadata that rebuild the network.

    Raises:
        RunError: as `write`.
    """
    tensors = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    write_tensors(path, tensors, about)


def as_text(result: "Result") -> str:
    """The text of result.json."""
    return result.model_dump_json(indent=2) + "\n"


def write_result(run: Path, result: "Result") -> None:
    """Write result.json.

    Raises:
        RunError: as `write`.
    """
    write(run / RESULT, as_text(result))
