"""The generator that an attack asks for, by name or folder: from the cache, or trained now."""

import re
from pathlib import Path

import torch

from clonecost.errors import SpecError, suggest
from clonecost.generators.base import TrainedGenerator
from clonecost.generators.catalogue import GENERATORS
from clonecost.generators.trained import cached_generator, load_generator, train_generator
from clonecost.types import LabelledInputs, Progress, no_progress


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

    `name` may also be the path of a generator's folder; then the proxy is not looked at.

    Raises:
        SpecError: as `train_generator`, or a name comes without a proxy.
        DataError: as `train_generator` and `load_generator`.
    """
    if is_path(name):
        return load_generator(Path(name), device=device, low_precision=low_precision)
    if name not in GENERATORS:
        known = suggest("generator", name, list(GENERATORS))
        raise SpecError(f"{known}; or name the folder of a trained one")
    if proxy is None:
        raise SpecError(
            f"generator {name!r} is trained on proxy data, and there are none; name them with "
            "--proxy, or name the folder of a trained generator"
        )
    folder = cached_generator(name, proxy, seed=seed, cache=cache) or train_generator(
        name, proxy, seed=seed, cache=cache, device=device, progress=progress
    )
    return load_generator(folder, device=device, low_precision=low_precision)


def is_path(name: str) -> bool:
    """Does it mean a folder, as against a row of the table?"""
    return name not in GENERATORS and (Path(name).is_dir() or bool(re.search(r"[\\/]", name)))
