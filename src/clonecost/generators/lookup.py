"""The generator that an attack asks for, by name or folder: from the cache, or trained now."""

import re
from pathlib import Path

import torch

from clonecost.errors import Advice, ChooseFrom, SetKey, SpecError, suggest
from clonecost.generators.base import TrainedGenerator
from clonecost.generators.catalogue import GENERATORS
from clonecost.generators.store import cached_generator, load_generator, train_generator
from clonecost.types import LabelledInputs, Progress, no_progress

FOLDER = Advice("give the folder of a trained generator")


def ready_generator(
    name: str,
    proxy: LabelledInputs | None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    low_precision: bool = False,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> TrainedGenerator:
    """The generator of that name for these proxy rows: from the cache, else it is trained now.

    `name` may be NAME:EPOCHS, for another length than its recipe's, or the path of a generator's
    folder; then the proxy is not looked at.

    Raises:
        SpecError: as `train_generator`, or a name comes without a proxy.
        DataError: as `train_generator` and `load_generator`.
    """
    if is_path(name):
        return load_generator(Path(name), device=device, low_precision=low_precision)
    row, epochs = row_and_epochs(name)
    if proxy is None:
        raise SpecError(
            f"Generator {name!r} is trained on proxy data, and none were given",
            SetKey("proxy"), FOLDER,
        )  # fmt: skip
    folder = cached_generator(row, proxy, epochs=epochs, seed=seed, cache=cache)
    folder = folder or train_generator(
        row, proxy, epochs=epochs, seed=seed, cache=cache, device=device, progress=progress
    )
    return load_generator(folder, device=device, low_precision=low_precision)


def row_and_epochs(name: str) -> tuple[str, int | None]:
    """NAME or NAME:EPOCHS -> the row of the table, and the epochs if they are not the recipe's.

    Raises:
        SpecError: no generator of that name, or EPOCHS is no number from 1 on.
    """
    row, colon, epochs = name.partition(":")
    if row not in GENERATORS:
        raise SpecError(
            suggest("generator", row, list(GENERATORS)), ChooseFrom("generators"), FOLDER
        )
    if not colon:
        return row, None
    if not (epochs.isdecimal() and int(epochs) > 0):
        raise SpecError(
            "The epochs behind a generator's name must be a whole number from 1 on",
            Advice(f"write {row}:20"), got=repr(name), want="NAME or NAME:EPOCHS",
        )  # fmt: skip
    return row, int(epochs)


def is_path(name: str) -> bool:
    """Does it mean a folder, as against a row of the table?"""
    return name not in GENERATORS and (Path(name).is_dir() or bool(re.search(r"[\\/]", name)))
