"""Snapshots: what a run needs in order to go on near to where it was killed.

    RUN/snapshots/000001.safetensors      one file for each loop that is under way (see `loops`)

The ledger alone brings back every answer, but a run that is resumed from it computes everything
again. A snapshot keeps, between two iterations of a loop, what later ones depend on: the loop's own
state, every random state, the place in the ledger, the curve and the sums for the report. It is
written at most every `every` seconds, and so that writing takes at most a fiftieth of the time.

Loops are known by the order in which they begin. Inside a loop others may begin (a training, at a
milestone): when the outer one is written, their files are of no more use. A loop that has ended
keeps its file, so that it is not run again on the way to the next one; but a loop that hands over
clones is never kept past its last iteration, which hands over the result.

A file that is broken, or was made for another audit, budget, version or history of the ledger, is
passed over: then the loop runs from its beginning. Safetensors and JSON, never a pickle.
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
from clonecost.persistence.resumable_loop import Stateful

FORMAT = "clonecost/snapshot/1"
SHARE = 1 / 50  # of the time, at most, goes into writing
ENDED = 1 / 8  # of the interval: an ended loop that took longer is kept


class GlobalRandomness:
    """Torch's own random states, of the CPU and of the device."""

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
    """Of one run, or of one training: its `loop` is what the attack or the training gets.

    Attributes:
        folder: where the files go; made when there is something to write.
        identity: everything that decides how the run goes.
        shared: what every loop depends on, restored with each.
        mark: the ledger's newest digest; `known` tells whether a digest stands in the ledger.
            A training without queries has none.
        every: seconds between two of a loop's snapshots; 0: after every iteration.
        notice: is told in a sentence what is passed over or could not be written.
        handed: how many clones were handed over so far; the audit counts.
    """

    folder: Path
    identity: str
    shared: Mapping[str, Any] = field(default_factory=dict)
    mark: Callable[[], str] = lambda: ""
    known: Callable[[str], bool] = lambda mark: True
    every: float = EVERY
    notice: Callable[[str], None] = lambda sentence: None
    handed: int = 0
    restored: int = 0  # loops that did not begin at their beginning
    _begun: int = field(default=0, init=False)
    _full: bool = field(default=False, init=False)

    def loop(self, more: Callable[[int], bool], /, **state: Any) -> Iterator[int]:
        """`loops.Loop`, with snapshots between the iterations."""
        self._begun += 1
        number, handed = self._begun, self.handed
        parts = {**self.shared, **{f"loop.{name}": part for name, part in state.items()}}
        entry = self._entry(state)
        done = self._restore(number, entry, parts)
        written, least = time.monotonic(), self.every
        while more(done):
            yield done
            done += 1
            since = time.monotonic() - written
            if since >= least and (more(done) or self.handed == handed):
                took = self._write(number, entry, done, parts)
                written = time.monotonic()
                least = max(self.every, took / SHARE) if self.every else 0.0
        if self.handed == handed and 0 < ENDED * least <= time.monotonic() - written:
            self._write(number, entry, done, parts)

    def forget(self) -> None:
        """The run has ended: its snapshots are deleted."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _entry(self, state: Mapping[str, Any]) -> str:
        """How things stand as a loop begins: a file is for this very beginning only."""
        standing = [get(self.shared.get("rng")), sorted(state)]
        standing += [get(part) for part in state.values() if isinstance(part, torch.Generator)]
        tree, tensors = flatten(standing)
        return digest([self.identity, tree], tensors)

    # -- files -----------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.safetensors"

    def _write(self, number: int, entry: str, done: int, parts: Mapping[str, Any]) -> float:
        """Returns the seconds that it took."""
        began = time.monotonic()
        tree, tensors = flatten({name: get(part) for name, part in parts.items()})
        about = {"format": FORMAT, "entry": entry, "done": done, "begun": self._begun,
                 "mark": self.mark(), "tree": tree}  # fmt: skip
        about["digest"] = digest(about, tensors)
        path = self._path(number)
        try:
            self.folder.mkdir(exist_ok=True)
            with atomic_file(path) as fresh:
                save_file(tensors, fresh, {"clonecost": json.dumps(about)})
            for later in self.folder.glob("*.safetensors"):
                if later.name > path.name:
                    later.unlink()
        except (OSError, SafetensorError) as error:  # the run itself needs no snapshot
            if not self._full:
                self.notice(f"no snapshot could be written ({error}); the run goes on without")
            self._full = True
        return time.monotonic() - began

    def _restore(self, number: int, entry: str, parts: Mapping[str, Any]) -> int:
        """Put everything where it was; iterations done, 0 if there is nothing to go on from."""
        path = self._path(number)
        if not path.is_file():
            return 0
        try:
            about, tensors = _read(path)
            if about["entry"] != entry or not self.known(about["mark"]):
                raise ValueError("it was made for another audit, budget, version or history")
            found = unflatten(about["tree"], tensors)
            if set(found) != set(parts):
                raise ValueError("it holds other parts")
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            self.notice(
                f"the snapshot {path} is passed over ({error}): that part is computed again from "
                "what was bought"
            )
            path.unlink(missing_ok=True)
            return 0
        try:
            for name, part in parts.items():
                put(part, found[name])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"The snapshot {path} does not fit the code, which must have changed since.",
                Advice(f"delete {self.folder} and start again: what was bought is kept"),
            ) from error
        self._begun = about["begun"]
        self.restored += 1
        return int(about["done"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get("clonecost", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said = about.pop("digest", None)
    if about.get("format") != FORMAT or said != digest(about, tensors):
        raise ValueError("it is damaged")
    return about, tensors


def digest(said: Any, tensors: Mapping[str, Tensor]) -> str:
    """Over JSON and the bytes of all tensors."""
    whole = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=32)
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


# -- states as trees -----------------------------------------------------------------------------


def get(part: Any) -> Any:
    """What a part of a loop's state holds now."""
    if isinstance(part, torch.Generator):
        return part.get_state()
    if isinstance(part, list):
        return [get(each) for each in part]
    return part.state_dict() if isinstance(part, Stateful) else part


def put(part: Any, held: Any) -> None:
    """Put back what `get` gave."""
    if isinstance(part, torch.Generator):
        part.set_state(held)
    elif isinstance(part, Stateful):
        part.load_state_dict(held)
    elif isinstance(part, list):
        if any(isinstance(each, Stateful | torch.Generator) for each in part):
            for each, its in zip(part, held, strict=True):
                put(each, its)
        else:
            part[:] = held
    elif part is not None:
        part.clear()
        part.update(held)


def flatten(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Nested dicts, lists, tuples, tensors and plain values -> JSON, and the tensors by name.

    Types of keys, tuples, devices and strides come back: a weight and its momentum lie in memory in
    the same order, as they did.
    """
    tensors: dict[str, Tensor] = {}
    held: set[int] = set()

    def encode(node: Any) -> Any:
        if isinstance(node, Tensor):
            name = str(len(tensors))
            flat = node.detach().cpu().contiguous()
            memory = flat.untyped_storage().data_ptr()
            tensors[name] = flat.clone() if memory in held else flat  # safetensors shares nothing
            held.add(memory)
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
    """What was given to `flatten`."""
    if isinstance(tree, list):
        return [unflatten(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "tuple" in tree:
        return tuple(unflatten(value, tensors) for value in tree["tuple"])
    if "dict" in tree:
        return {unflatten(k, tensors): unflatten(v, tensors) for k, v in tree["dict"]}
    found = tensors[tree["tensor"]].to(
        tree["device"], copy=True
    )  # what was read is the file itself
    if tree["strides"] is None:
        return found
    return torch.empty_strided(
        found.shape, tree["strides"], dtype=found.dtype, device=found.device
    ).copy_(found)
