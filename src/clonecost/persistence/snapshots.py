"""Checkpoints ("snapshots" in files and keys): the state from which a killed run continues.

    RUN/snapshots/000001.safetensors      one file for each running loop (see `resumable_loop`)

The ledger alone restores every answer, but a run that is resumed from it repeats all computations.
A snapshot holds, between two iterations of a loop, the state on which later iterations depend: the
loop's own state, every random state, the position in the ledger, the curve and the sums for the
report. It is written at most every `every` seconds, and at most a fiftieth of the time is spent on
writing.

Loops are numbered in the order in which they start. A loop may start others (a training, at a
milestone); when the outer loop is written, the files of the inner ones are deleted. A loop that has
ended keeps its file, so that it is not repeated on the way to the next one. No snapshot is kept of
the last iteration of a loop that yields clones, because that iteration yields the result.

A file that is damaged, or belongs to another audit, budget, version or history of the ledger, is
ignored, and the loop starts from its beginning. The format is safetensors and JSON, never a pickle.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clonecost.errors import Advice, RunError
from clonecost.persistence.atomic_write import atomic_file
from clonecost.persistence.intervals import EVERY
from clonecost.persistence.own_files import make_folder, must_be_folder
from clonecost.persistence.resumable_loop import Stateful

FORMAT = "clonecost/snapshot/1"
SHARE = 1 / 50  # the largest share of the time that is spent on writing
ENDED = 1 / 8  # share of the interval: an ended loop that took longer is kept


class GlobalRandomness:
    """Torch's global random states, of the CPU and of the device."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None

    def state_dict(self) -> dict[str, Any]:
        cuda = None if self._cuda is None else torch.cuda.get_rng_state(self._cuda)
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if self._cuda is not None and state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self._cuda)


@dataclass
class Snapshots:
    """The snapshots of one run or one training; the attack or the training loops with `loop`.

    Attributes:
        folder: the folder of the files; created with the first file.
        identity: everything on which the course of the run depends.
        shared: the state on which every loop depends, restored with each.
        mark: returns the head of the ledger; `known` states whether a digest was ever the head.
            A training without queries has no ledger.
        every: the checkpoint interval in seconds; 0: after every iteration.
        notice: called with a sentence if a file is ignored or could not be written.
        clones: the number of clones yielded so far; the audit counts them.
        restored: the number of loops that did not start at their beginning.

    Example:
        >>> snapshots = Snapshots(Path("runs/mine/snapshots"), "audit 1")  # doctest: +SKIP
        >>> for epoch in snapshots.loop(
        ...     lambda done: done < 10, student=student, rng=rng
        ... ):  # doctest: +SKIP
        ...     train_one_epoch(student, rng)
    """

    folder: Path
    identity: str
    shared: Mapping[str, Any] = field(default_factory=dict)
    mark: Callable[[], str] = lambda: ""
    known: Callable[[str], bool] = lambda mark: True
    every: float = EVERY
    notice: Callable[[str], None] = lambda sentence: None
    clones: int = 0
    restored: int = 0
    _started: int = field(default=0, init=False)
    _write_failed: bool = field(default=False, init=False)

    def loop(self, more: Callable[[int], bool], /, **state: Any) -> Iterator[int]:
        """A `resumable_loop.Loop` with snapshots between the iterations.

        Raises:
            RunError: a snapshot is intact but does not fit the objects of `state`, or the folder
                is a link.
        """
        self._started += 1
        number, clones = self._started, self.clones
        parts = {**self.shared, **{f"loop.{name}": part for name, part in state.items()}}
        entry = self._entry(state)
        done = self._restore(number, entry, parts)
        written, least = time.monotonic(), self.every
        while more(done):
            yield done
            done += 1
            since = time.monotonic() - written
            if since >= least and (more(done) or self.clones == clones):
                took = self._write(number, entry, done, parts)
                written = time.monotonic()
                least = max(self.every, took / SHARE) if self.every else 0.0
        if self.clones == clones and 0 < ENDED * least <= time.monotonic() - written:
            self._write(number, entry, done, parts)

    def forget(self) -> None:
        """Delete all snapshots, at the end of the run."""
        shutil.rmtree(self.folder, ignore_errors=True)  # it does not follow links

    def _entry(self, state: Mapping[str, Any]) -> str:
        """A digest of the state at the start of a loop; a file is valid for this start only."""
        start = [get(self.shared.get("rng")), sorted(state)]
        start += [get(part) for part in state.values() if isinstance(part, torch.Generator)]
        tree, tensors = flatten(start)
        return digest([self.identity, tree], tensors)

    # -- files -----------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.safetensors"

    def _write(self, number: int, entry: str, done: int, parts: Mapping[str, Any]) -> float:
        """Write a file and delete those of later loops. Returns the duration in seconds."""
        start = time.monotonic()
        tree, tensors = flatten({name: get(part) for name, part in parts.items()})
        about = {"format": FORMAT, "entry": entry, "done": done, "begun": self._started,
                 "mark": self.mark(), "tree": tree}  # fmt: skip
        about["digest"] = digest(about, tensors)
        path = self._path(number)
        try:
            make_folder(self.folder)
            with atomic_file(path, private=True) as fresh:
                save_file(tensors, fresh, {"clonecost": json.dumps(about)})
            for later in self.folder.glob("*.safetensors"):
                if later.name > path.name:
                    later.unlink()
        except (OSError, SafetensorError) as error:  # a run can continue without snapshots
            if not self._write_failed:
                self.notice(f"no checkpoint could be written ({error}); the run goes on without")
            self._write_failed = True
        return time.monotonic() - start

    def _restore(self, number: int, entry: str, parts: Mapping[str, Any]) -> int:
        """Restore all parts. Returns the iterations done, 0 without a usable file."""
        path = self._path(number)
        if not must_be_folder(self.folder) or not path.is_file():
            return 0
        try:
            about, tensors = _read(path)
            if about["entry"] != entry or not self.known(about["mark"]):
                raise ValueError("it is of another audit, budget, version or history")
            saved = unflatten(about["tree"], tensors)
            if set(saved) != set(parts):
                raise ValueError("it holds other parts")
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            self.notice(
                f"the checkpoint {path} is ignored ({error}); this part is computed again from the "
                "recorded answers"
            )
            path.unlink(missing_ok=True)
            return 0
        try:
            for name, part in parts.items():
                put(part, saved[name])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"The checkpoint {path} does not fit the code, which has changed since.",
                Advice(f"delete {self.folder} and start again; all answers are kept"),
            ) from error
        self._started = about["begun"]
        self.restored += 1
        return int(about["done"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get("clonecost", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    recorded = about.pop("digest", None)
    if about.get("format") != FORMAT or recorded != digest(about, tensors):
        raise ValueError("it is damaged")
    return about, tensors


def digest(values: Any, tensors: Mapping[str, Tensor]) -> str:
    """BLAKE2b-256 of JSON values and of the bytes of all tensors, 64 hex digits."""
    whole = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=32)
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


# -- states as trees -----------------------------------------------------------------------------


def get(part: Any) -> Any:
    """The current value of a part of a loop's state."""
    if isinstance(part, torch.Generator):
        return part.get_state()
    if isinstance(part, list):
        return [get(each) for each in part]
    return part.state_dict() if isinstance(part, Stateful) else part


def put(part: Any, value: Any) -> None:
    """Restore a part to a value that `get` returned."""
    if isinstance(part, torch.Generator):
        part.set_state(value)
    elif isinstance(part, Stateful):
        part.load_state_dict(value)
    elif isinstance(part, list):
        if any(isinstance(each, Stateful | torch.Generator) for each in part):
            for each, saved in zip(part, value, strict=True):
                put(each, saved)
        else:
            part[:] = value
    elif part is not None:
        part.clear()
        part.update(value)


def flatten(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Nested dicts, lists, tuples, tensors and plain values -> JSON, and the tensors by name.

    `unflatten` restores types of keys, tuples, devices and strides, so that a weight and its
    momentum have the same memory order as before.

    Raises:
        TypeError: a value of another type.

    Example:
        >>> tree, tensors = flatten({"epoch": 3})
        >>> unflatten(tree, tensors)
        {'epoch': 3}
    """
    tensors: dict[str, Tensor] = {}
    memories: set[int] = set()

    def encode(node: Any) -> Any:
        if isinstance(node, Tensor):
            name = str(len(tensors))
            flat = node.detach().cpu().contiguous()
            memory = flat.untyped_storage().data_ptr()
            # safetensors refuses tensors that share memory
            tensors[name] = flat.clone() if memory in memories else flat
            memories.add(memory)
            strides = None if node.is_contiguous() or 0 in node.stride() else list(node.stride())
            return {"tensor": name, "device": str(node.device), "strides": strides}
        if isinstance(node, Mapping):
            return {"dict": [[encode(key), encode(value)] for key, value in node.items()]}
        if isinstance(node, tuple):
            return {"tuple": [encode(value) for value in node]}
        if isinstance(node, list):
            return [encode(value) for value in node]
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"a snapshot cannot hold a {type(node).__name__}")

    return encode(tree), tensors


def unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that was given to `flatten`."""
    if isinstance(tree, list):
        return [unflatten(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "tuple" in tree:
        return tuple(unflatten(value, tensors) for value in tree["tuple"])
    if "dict" in tree:
        return {unflatten(k, tensors): unflatten(v, tensors) for k, v in tree["dict"]}
    # a copy, because the tensors that were read are mapped from the file
    restored = tensors[tree["tensor"]].to(tree["device"], copy=True)
    if tree["strides"] is None:
        return restored
    return torch.empty_strided(
        restored.shape, tree["strides"], dtype=restored.dtype, device=restored.device
    ).copy_(restored)
