"""Find a generator by name or folder: from the cache, or trained now."""

import re
from pathlib import Path

import torch

from clonecost.errors import Advice, ChooseFrom, SetKey, SpecError, suggest
from clonecost.generators.base import TrainedGenerator
from clonecost.generators.catalogue import GENERATORS
from clonecost.generators.store import (
    cached_generator,
    load_generator,
    train_generator,
    training_alone,
)
from clonecost.persistence.file_limits import at_home
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
    """Load the generator for these proxy rows from the cache, or train it now. Sends no query.

    Args:
        name: a name of `names("generators")`, NAME:EPOCHS for another number of epochs, or the
            path of a trained generator's folder, which needs no proxy.
        proxy: (n, C, H, W) rows to train on.
        seed: of the training.
        device: of the training and of the result.
        low_precision: decode in bfloat16.
        cache: folder of the cache; by default `cache_root()`.
        progress: is called during a training, with the steps done and all steps.

    Raises:
        SpecError: as `train_generator`, or a name was given without a proxy.
        DataError: as `train_generator` and `load_generator`.

    Example:
        generator = ready_generator("sngan-small", load("photos"))
        latents = generator.sample_latents(16, torch.Generator().manual_seed(0))
        images = generator.decode(latents)  # (16, C, H, W) pixels in [0, 1]
    """
    if is_path(name):
        return load_generator(at_home(name), device=device, low_precision=low_precision)
    row, epochs = row_and_epochs(name)
    if proxy is None:
        raise SpecError(
            f"Generator {name!r} is trained on proxy data, and none were given",
            SetKey("proxy"), FOLDER,
        )  # fmt: skip
    folder = cached_generator(row, proxy, epochs=epochs, seed=seed, cache=cache)
    if folder is None:
        with training_alone(row, proxy, epochs=epochs, seed=seed, cache=cache):
            # another process may have trained it meanwhile
            folder = cached_generator(row, proxy, epochs=epochs, seed=seed, cache=cache)
            folder = folder or train_generator(
                row, proxy, epochs=epochs, seed=seed, cache=cache, device=device, progress=progress
            )
    return load_generator(folder, device=device, low_precision=low_precision)


def row_and_epochs(name: str) -> tuple[str, int | None]:
    """NAME or NAME:EPOCHS -> NAME, and the epochs or None.

    Raises:
        SpecError: the name is unknown, or EPOCHS is not a whole number from 1 on.

    Example:
        >>> row_and_epochs("vae:20")
        ('vae', 20)
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
    """Whether `name` is a folder, not a name of the catalogue."""
    return name not in GENERATORS and (at_home(name).is_dir() or bool(re.search(r"[\\/]", name)))
