"""Run folders, read from disk: the only input of every report."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import Advice, RunError
from clonecost.oracle.record import Record
from clonecost.persistence.run_folder import LEDGER, ROWS, SAMPLES, SEARCH
from clonecost.result import Result, Transfer, read_result, read_transfer
from clonecost.result.detection import Detection, read_detection


@dataclass(frozen=True, eq=False)
class Samples:
    """Some queries with their answers, evenly spread over the budget."""

    inputs: NDArray[np.uint8]  # (n, C, H, W), 0..255
    answers: NDArray[np.float32]  # (n, K), rows on the simplex
    positions: NDArray[np.int64]  # (n,), row number in the attack's stream, from 0

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, eq=False)
class SearchImages:
    """Images from the first searches of an attack that searches: T targets, G generations."""

    images: NDArray[np.uint8]  # (T, G, C, H, W), 0..255: the best so far after each generation
    probability: NDArray[np.float32]  # (T, G), of the target's class; NaN after the search ended
    targets: NDArray[np.int64]  # (T,), the class that was searched for

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class RowScores:
    """How each row of the test set was classified, in the test set's order."""

    agrees: NDArray[np.bool_]  # (n,): the final clone gives the victim's class
    correct: NDArray[np.bool_] | None  # (n,): and the true one; None without labels
    victim: NDArray[np.int32]  # (n,): the undefended victim's class
    test: str  # the fingerprint of the test set

    def __len__(self) -> int:
        return len(self.victim)


@dataclass(frozen=True, eq=False)
class Run:
    """One finished audit: its folder, its result, and a sample of its queries."""

    path: Path
    result: Result
    samples: Samples | None = None
    search_images: SearchImages | None = None
    transfer: Transfer | None = None
    detection: Detection | None = None
    rows: RowScores | None = None  # None: an older version wrote the run
    head: str = ""  # of the ledger's chain as it is now; empty without a ledger
    depth: int = 1  # folders that it takes to tell the run from the others of its report

    @property
    def name(self) -> str:
        """The folder's own name, without its path: reports are passed on to other people."""
        return self.path.resolve().name

    @property
    def place(self) -> str:
        """The name; where runs of a report share it, with the folders above, such as "mad/naive-0".

        All runs of a report have the same depth: in a grid, it is the path from the grid's folder.
        """
        return "/".join(self.path.resolve().parts[-self.depth :])

    def class_name(self, index: int) -> str:
        classes = self.result.victim.classes
        return classes[index] if 0 <= index < len(classes) else f"class {index}"


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run folders, in the order given.

    Raises:
        RunError: no path given, a run is unfinished, or one of its files is broken.
    """
    if not paths:
        raise RunError("No run folder is given", Advice("give at least one run folder"))
    depth = _depth([path.resolve().parts for path in paths])
    return [_read(path, depth) for path in paths]


def _depth(paths: Sequence[tuple[str, ...]]) -> int:
    """The least number of last parts that tells different paths apart."""
    different = set(paths)
    most = max(map(len, different))
    return next(n for n in range(1, most + 1) if len({p[-n:] for p in different}) == len(different))


def _read(path: Path, depth: int) -> Run:
    result = read_result(path)
    return Run(
        path=path,
        result=result,
        samples=_read_samples(path / SAMPLES, text=result.threat.text),
        search_images=_read_search_images(path / SEARCH),
        transfer=read_transfer(path),
        detection=read_detection(path),
        rows=_read_rows(path / ROWS),
        head=_read_head(path / LEDGER),
        depth=depth,
    )


def _read_head(path: Path) -> str:
    if not path.is_file():  # the result alone was passed on
        return ""
    with closing(Record.read(path)) as record:
        return record.head


def _read_samples(path: Path, *, text: bool) -> Samples | None:
    kinds = {
        "inputs": (np.uint8, 2 if text else 4), "answers": (np.float32, 2),
        "positions": (np.int64, 1),
    }  # fmt: skip
    tensors = _read_tensors(path, kinds)
    if tensors is None:
        return None
    samples = Samples(**tensors)
    if not len(samples.inputs) == len(samples.answers) == len(samples.positions):
        raise _broken(path, "tensors of different length")
    return samples


def _read_search_images(path: Path) -> SearchImages | None:
    kinds = {"images": (np.uint8, 5), "probability": (np.float32, 2), "targets": (np.int64, 1)}
    tensors = _read_tensors(path, kinds)
    if tensors is None:
        return None
    found = SearchImages(**tensors)
    if found.images.shape[:2] != found.probability.shape or len(found.probability) != len(found):
        raise _broken(path, "tensors of different length")
    return found


def _read_rows(path: Path) -> RowScores | None:
    kinds = {"agrees": (np.uint8, 1), "victim": (np.int32, 1), "test": (np.uint8, 1)}
    tensors = _read_tensors(path, kinds, {"correct": (np.uint8, 1)})
    if tensors is None:
        return None
    victim, test = tensors.pop("victim"), tensors.pop("test")
    if not len(victim) or any(len(bits) != -(-len(victim) // 8) for bits in tensors.values()):
        raise _broken(path, "tensors of different length")
    bits = {name: np.unpackbits(b, count=len(victim)) > 0 for name, b in tensors.items()}
    return RowScores(bits["agrees"], bits.get("correct"), victim, test.tobytes().hex())


def _read_tensors(
    path: Path,
    kinds: Mapping[str, tuple[type, int]],
    optional: Mapping[str, tuple[type, int]] | None = None,
) -> dict[str, NDArray[Any]] | None:
    """The tensors that are named, each with its (dtype, dimensions); None without a file.

    Those of `optional` may be missing.
    """
    if not path.is_file():
        return None
    # Imported here: a report of runs without images needs no reader for them.
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        kinds = {**kinds, **{k: v for k, v in (optional or {}).items() if k in tensors}}
        return {name: _tensor(tensors, name, *kind) for name, kind in kinds.items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, why: str) -> RunError:
    return RunError(f"{path} is broken ({why})", Advice("delete it to report without it"))


def _tensor(tensors: dict[str, NDArray[Any]], name: str, dtype: type, ndim: int) -> NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"no tensor {name!r}")
    tensor = tensors[name]
    if tensor.dtype != dtype or tensor.ndim != ndim:
        raise ValueError(
            f"{name!r} is {tensor.dtype} with {tensor.ndim} dimensions, "
            f"expected {np.dtype(dtype)} with {ndim}"
        )
    return tensor
