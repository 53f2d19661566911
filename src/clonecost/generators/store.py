"""Train a generator on proxy data, store it in the cache, and load it from there.

    <cache>/generators/<name>-<proxy>-<C>x<H>x<W>-seed<k>/weights.safetensors  the network
                                                          card.json            its description
                                                          samples.png          its samples
                                                          snapshots/           during training

An interrupted training continues after its last whole epoch and ends with the same weights;
snapshots of another proxy, recipe, seed or version of torch are not used. A tenth of the rows is
held out, by a fixed seed, for measurements only.
"""

import hashlib
import json
import re
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clonecost.data.hold_out import hold_out
from clonecost.errors import (
    Advice,
    ChooseFrom,
    DataError,
    RunWorkflow,
    SetKey,
    SpecError,
    suggest,
)
from clonecost.generators.base import TrainedGenerator, TrainingResult
from clonecost.generators.catalogue import GENERATORS, GeneratorCard
from clonecost.generators.frechet import MEASURED, frechet_scores
from clonecost.generators.recipes import Recipe
from clonecost.generators.sample_sheet import GRID, sample_sheet
from clonecost.generators.sngan import count_classes
from clonecost.persistence.model_cache import Cached, cache_root
from clonecost.persistence.snapshots import Snapshots
from clonecost.types import LabelledInputs, Progress, Shape, no_progress
from clonecost.version import __version__

SAMPLES, SNAPSHOTS = "samples.png", "snapshots"
HELD_OUT = 10  # one row in 10 is held out for measurements
SPLIT_SEED = 20_240_103  # the same rows for every generator and every seed
SHEET_SEED = 20_240_104  # of the latents of the shown and measured images
CHUNK = 128  # images per forward pass


@dataclass
class Clock:
    """Seconds of training, including those before an interruption."""

    earlier: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.earlier, self.started = state["seconds"], time.perf_counter()


def train_generator(
    name: str,
    proxy: LabelledInputs,
    *,
    epochs: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> Path:
    """Train a generator, even if it is cached, and return its folder in the cache.

    An interrupted training continues after its last epoch. No query is sent.

    Args:
        name: a key of `GENERATORS`.
        proxy: (n, C, H, W) with C 1 or 3, n at least 10; labels matter to conditional ones only.
        epochs: instead of the recipe's; such a generator has its own folder.
        seed: of the training.
        cache: by default `cache_root()`.
        device: of the training.
        progress: is called with the steps done and all steps.

    Raises:
        SpecError: the name is unknown, `epochs` is below 1, the images do not fit the generator,
            or a conditional generator has no classes.
        DataError: the proxy has too few rows, or the cache cannot be written.

    Example:
        folder = train_generator("vae-small", load("photos"), epochs=5)
        generator = load_generator(folder)
    """
    row, recipe = _row(name, epochs)
    _check(proxy, row)
    place = _cached(name, proxy, epochs, seed, cache)
    place.must_be_writable()
    device = torch.device(device)
    kept, held_out = hold_out(proxy, one_in=HELD_OUT, seed=SPLIT_SEED)
    meant_for = json.dumps(
        [name, _as_json(recipe), seed, _digest(proxy, row), torch.__version__, str(device)]
    )
    clock = Clock()
    snapshots = Snapshots(place.folder / SNAPSHOTS, meant_for, {"clock": clock}, every=0.0)
    made = row.family.train(
        kept, held_out, recipe, seed=seed, device=device,
        progress=lambda _, done, total: progress(f"training {name}", done, total),
        loop=snapshots.loop,
    )  # fmt: skip
    seconds = clock.seconds
    samples = _samples(row, made, min(MEASURED, len(held_out)), device)
    card = {
        "name": name,
        "seed": seed,
        "recipe": asdict(recipe),  # type: ignore[call-overload]  # every recipe is a dataclass
        "shape": list(proxy.shape),
        "classes": made.classes,
        "proxy": {"name": proxy.name, "sha256": _digest(proxy, row), "rows": len(proxy)},
        "trained_on": len(kept),
        "quality": {
            **made.quality,
            **frechet_scores(kept, held_out, samples),
            "rows": len(held_out),
        },
        "parameters": sum(tensor.numel() for tensor in made.network.parameters()),
        "seconds": round(seconds, 1),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "clonecost": __version__,
        "losses": made.losses,
    }
    panels = {"samples": samples[: GRID * GRID], **made.panels}
    place.write(made.network, card, {SAMPLES: sample_sheet(panels)})
    snapshots.forget()
    return place.folder


def training_alone(
    name: str, proxy: LabelledInputs, *, epochs: int | None, seed: int, cache: Path | None
) -> AbstractContextManager[None]:
    """While it is held, no other process that asks for it trains this generator.

    Raises:
        SpecError, DataError: as `train_generator`.
    """
    return _cached(name, proxy, epochs, seed, cache).alone()


def cached_generator(
    name: str,
    proxy: LabelledInputs,
    *,
    epochs: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> Path | None:
    """The folder of this generator, trained on exactly these rows with this recipe, or None.

    Raises:
        SpecError: as `train_generator`.
        DataError: the folder is damaged.
    """
    row, recipe = _row(name, epochs)
    place = _cached(name, proxy, epochs, seed, cache)
    card = place.card()
    if card is None or card.get("recipe") != _as_json(recipe):
        return None
    trained_on = card.get("proxy")
    same = isinstance(trained_on, dict) and trained_on.get("sha256") == _digest(proxy, row)
    return place.folder if same else None


def load_generator(
    folder: Path, *, device: torch.device | str = "cpu", low_precision: bool = False
) -> TrainedGenerator:
    """Load the generator that `train_generator` stored in `folder`. Draws no random numbers.

    Raises:
        DataError: the folder has no generator, or one that differs from its card.
    """
    place = Cached(folder, "generator", DataError)
    card = place.card()
    if card is None:
        raise DataError(
            f"{folder} holds no trained generator", RunWorkflow("train generator"),
            Advice("give a folder that it returned"),
        )  # fmt: skip
    weights = place.weights()
    try:
        name, shape = str(card["name"]), tuple(int(side) for side in card["shape"])
        row, classes = GENERATORS[name], int(card.get("classes", 0))
        with torch.device("meta"):  # no memory and no initial weights: the file replaces them
            network = row.family.build(row.recipe, shape, classes)
        network.load_state_dict(load_file(weights), assign=True)
        proxy = str(card["proxy"]["name"])
    except (KeyError, TypeError, ValueError, RuntimeError, SpecError, SafetensorError) as error:
        raise place.damaged() from error
    device = torch.device(device)
    network = network.to(device).eval().requires_grad_(False)
    if device.type == "cpu":  # up to twice as fast; on a GPU in low precision only
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainedGenerator(
        name=name,
        proxy=proxy,
        image_shape=shape,
        latent_dim=row.family.latent_dim + classes,
        weights=card["sha256"],
        network=network,
        device=device,
        to_images=row.family.decode,
        draw=row.family.latents,
        low_precision=low_precision,
    )


def _row(name: str, epochs: int | None) -> tuple[GeneratorCard, Recipe]:
    if name not in GENERATORS:
        raise SpecError(suggest("generator", name, list(GENERATORS)), ChooseFrom("generators"))
    row = GENERATORS[name]
    if epochs is None:
        return row, row.recipe
    if epochs < 1:
        raise SpecError(
            f"Generator {name!r} needs at least 1 epoch of training", SetKey("epochs", 1),
            got=epochs,
        )  # fmt: skip
    return row, replace(row.recipe, epochs=epochs)  # type: ignore[type-var]


def _check(proxy: LabelledInputs, row: GeneratorCard) -> None:
    """Refuse what would fail after an hour of training, or with another error."""
    if len(proxy.shape) != 3 or proxy.shape[0] not in (1, 3):
        raise SpecError(
            f"A generator is trained on grey or RGB images (C, H, W), not {proxy.shape}",
            SetKey("shape", (3, 32, 32)),
        )  # fmt: skip
    if len(proxy) < HELD_OUT:
        raise DataError(
            f"The proxy {proxy.name or 'given'} has {len(proxy)} rows, too few for a generator",
            Advice("use a proxy with thousands of rows"), want=f"at least {HELD_OUT}",
        )  # fmt: skip
    classes = count_classes(proxy) if row.conditional else 0
    with torch.device("meta"):
        row.family.build(row.recipe, proxy.shape, classes)


def _samples(row: GeneratorCard, made: TrainingResult, rows: int, device: torch.device) -> Tensor:
    """Images to show and to measure, on the CPU, at least a panel of them."""
    rng = torch.Generator().manual_seed(SHEET_SEED)
    latents = row.family.latents(max(GRID * GRID, rows), row.family.latent_dim + made.classes, rng)
    chunks = latents.to(device).split(CHUNK)
    return torch.cat([row.family.decode(made.network, chunk).cpu() for chunk in chunks])


def _digest(data: LabelledInputs, row: GeneratorCard) -> str:
    """sha256 of the training data: pixels in their order and shape, and labels if conditional."""
    digest = hashlib.sha256(f"{data.inputs.dtype}{tuple(data.inputs.shape)}".encode())
    for part in (data.inputs, data.labels) if row.conditional else (data.inputs,):
        digest.update(part.cpu().contiguous().view(-1).numpy().data)
    return digest.hexdigest()


def _as_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it is read back from a card."""
    return json.loads(json.dumps(asdict(recipe)))  # type: ignore[call-overload]


def _cached(
    name: str, proxy: LabelledInputs, epochs: int | None, seed: int, cache: Path | None
) -> Cached:
    shortened = "" if epochs is None else f"-epochs{epochs}"
    folder = f"{name}-{_slug(proxy.name)}-{_sides(proxy.shape)}-seed{seed}{shortened}"
    return Cached((cache or cache_root()) / "generators" / folder, "generator", DataError)


def _slug(proxy: str) -> str:
    """A data set's name, or the last part of a path, as part of a folder's name."""
    last = re.split(r"[\\/]", proxy.rstrip("\\/"))[-1]
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:60] or "proxy"


def _sides(shape: Shape) -> str:
    return "x".join(map(str, shape))
