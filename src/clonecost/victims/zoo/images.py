"""Image classifiers: trained here from public data, or with weights that others released.

The small ones come with the weights of one training (`kept/`), so that all audits of such a name
attack the same victim; another seed, or other epochs, train another one.

A tenth of the official train split is held out, by a fixed seed, to choose the best epoch; the
test split is used once, for the accuracy on the card. Victims are kept in the cache:

    <cache>/victims/<name>-seed<k>/weights.safetensors  the network and its normalisation
                                   card.json            accuracy, recipe, time, versions, sha256
"""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clonecost.data import DATASETS, load
from clonecost.data.hold_out import hold_out
from clonecost.errors import Advice, ChooseFrom, SpecError, VictimError, suggest
from clonecost.networks import build
from clonecost.persistence.disk import file_digest
from clonecost.persistence.model_cache import CARD, WEIGHTS, Cached, cache_root
from clonecost.types import Progress, no_progress
from clonecost.victims import LoadedVictim, load_weights, torch_victim
from clonecost.victims.zoo.catalogue import VICTIMS, Released, VictimRecipe
from clonecost.victims.zoo.released import released_file, released_model
from clonecost.victims.zoo.train_classifier import count_correct, train_classifier

__all__ = [
    "CARD",
    "cache_root",
    "first_step",
    "is_trained",
    "kept_weights",
    "train_victim",
    "zoo_model",
    "zoo_victim",
]
KEPT = Path(__file__).with_name("kept")  # NAME.safetensors
HELD_OUT = 10  # one row in 10 of the train split is for validation
SPLIT_SEED = 20_240_101  # the same rows for every victim and every seed


def zoo_model(
    name: str,
    *,
    root: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    epochs: int | None = None,
    progress: Progress = no_progress,
) -> nn.Module:
    """A network of the zoo: with the weights that come with clonecost, else from the cache.

    If the cache lacks it, or has another recipe, it is made now: trained, or read from the
    released weights that the user installed.

    Args:
        name: a key of `VICTIMS`.
        root: the data folder of `clonecost.data.load`.
        cache: by default `cache_root()`.
        epochs: shortens the recipe; such a network has its own place in the cache.

    Returns:
        The network in eval mode, (n, *input_shape) pixels in [0, 1] -> (n, K) logits.

    Raises:
        SpecError: there is no victim of that name, or `epochs` is below 1.
        DataError: the training data cannot be loaded.
        VictimError: the weights differ from those in the catalogue or on their card, or released
            weights are not installed.

    Example:
        >>> model = zoo_model("digits-lenet")
    """
    recipe = _recipe(name, epochs)
    weights = kept_weights(name, seed=seed, epochs=epochs)
    if weights is None:
        weights = _cached_weights(name, recipe, root, cache, seed, device, epochs, progress)
    return load_weights(weights, recipe.network, recipe.input_shape, recipe.num_classes).to(device)


def _cached_weights(
    name: str, recipe: VictimRecipe, root: Path | None, cache: Path | None, seed: int,
    device: torch.device | str, epochs: int | None, progress: Progress,
) -> Path:  # fmt: skip
    """The file in the cache; first the victim is trained if the cache does not hold it."""
    cached = _cached(name, cache, seed, epochs)
    if not _holds(cached, recipe):
        with cached.alone():
            if not _holds(cached, recipe):  # by another process, meanwhile
                train_victim(
                    name, root=root, cache=cache, seed=seed, device=device, epochs=epochs,
                    progress=progress,
                )  # fmt: skip
    return cached.weights()


def kept_weights(name: str, *, seed: int = 0, epochs: int | None = None) -> Path | None:
    """The file of the weights that come with clonecost; None: this victim is trained.

    Raises:
        SpecError: there is no victim of that name.
        VictimError: the file is missing, or has another digest than the catalogue.

    Example:
        >>> kept_weights("digits-lenet").name
        'digits-lenet.safetensors'
    """
    kept = _recipe(name, epochs).kept
    if kept is None or seed != 0 or epochs is not None:
        return None
    path = KEPT / f"{name}.safetensors"
    if not path.is_file() or file_digest(path) != kept.sha256:
        raise VictimError(
            f"{path} does not hold the weights that come with clonecost",
            Advice("install clonecost again"),
        )
    return path


def zoo_victim(
    name: str,
    *,
    root: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    epochs: int | None = None,
    progress: Progress = no_progress,
    white_box: bool = False,
) -> LoadedVictim:
    """`zoo_model` as a victim: no attribute leads to the network, except with `white_box`.

    Raises:
        SpecError, DataError, VictimError: as `zoo_model`.

    Example:
        >>> zoo_victim("digits-lenet").answer(torch.rand(5, 1, 32, 32)).shape
        torch.Size([5, 10])
    """
    model = zoo_model(
        name, root=root, cache=cache, seed=seed, device=device, epochs=epochs, progress=progress
    )
    recipe = VICTIMS[name]
    return LoadedVictim(
        name=name,
        answer=torch_victim(model, outputs="logits", device=device),
        input_shape=recipe.input_shape,
        num_classes=recipe.num_classes,
        weights=file_digest(
            kept_weights(name, seed=seed, epochs=epochs)
            or _cached(name, cache, seed, epochs).folder / WEIGHTS
        ),
        network=model if white_box else None,
    )


def is_trained(name: str, *, cache: Path | None = None, seed: int = 0) -> bool:
    """Whether `zoo_victim` needs no training: it comes with clonecost, or is in the cache."""
    return kept_weights(name, seed=seed) is not None or _holds(
        _cached(name, cache, seed, None), _recipe(name, None)
    )


def _holds(kept: Cached, recipe: VictimRecipe) -> bool:
    card = kept.card()
    return card is not None and card.get("recipe") == _as_json(recipe)


def train_victim(
    name: str,
    *,
    root: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    epochs: int | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Train a victim, whether it is cached or not, and return its folder in the cache.

    A victim that comes with clonecost is trained with another seed or other epochs only.

    Released weights are read from their file instead.

    The same seed gives the same weights on the same machine with the same number of threads; the
    global random state stays unchanged.

    Raises:
        SpecError, DataError: as `zoo_model`; released weights have one seed, 0; weights that come
            with clonecost have that seed.
        VictimError: the cache cannot be written, or released weights are not installed.
    """
    recipe = _recipe(name, epochs)
    if recipe.kept and seed == 0 and epochs is None:
        raise SpecError(
            f"{name} comes with clonecost, trained with seed 0: all audits of it attack the same "
            "weights",
            Advice("train another one, with seed 1 for instance, and name its file as the victim"),
        )
    cached = _cached(name, cache, seed, epochs)
    cached.must_be_writable()
    if isinstance(recipe.training, Released):
        return _keep_released(name, recipe, recipe.training, cached, root, seed)
    train, test = (
        load(recipe.dataset, split, root=root, shape=recipe.input_shape, progress=progress)
        for split in ("train", "test")
    )
    kept, held_out = hold_out(train, one_in=HELD_OUT, seed=SPLIT_SEED)
    started = time.perf_counter()
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = build(
            recipe.network, recipe.input_shape, recipe.num_classes,
            mean=recipe.mean, std=recipe.std,
        )  # fmt: skip
        trained = train_classifier(
            model, kept, held_out, recipe.training,
            rng=torch.Generator().manual_seed(seed), device=device,
            progress=lambda _, done, total: progress(f"training {name}", done, total),
        )  # fmt: skip
    card = {
        "name": name,
        "seed": seed,
        "recipe": _as_json(recipe),
        "test": _accuracy(count_correct(model, test, device), len(test)),
        "validation": {"accuracy": trained.validation_accuracy, "rows": len(held_out)},
        "best_epoch": trained.epoch,
        "seconds": round(time.perf_counter() - started, 1),
        "device": device.type,
        "threads": recipe.training.threads or torch.get_num_threads(),
        "torch": torch.__version__,
    }
    cached.write(model, card)
    return cached.folder


def first_step(name: str, *, root: Path | None = None) -> str:
    """What an audit does first for a victim that is not in the cache yet.

    Raises:
        VictimError: its released weights are not installed.

    Example:
        >>> first_step("digits-lenet")
        'digits-lenet is not trained yet: the audit trains it first'
    """
    training = VICTIMS[name].training
    if isinstance(training, Released):
        path = released_file(name, training, root)
        return f"{name} is not in the cache yet: the audit reads its weights from {path} first"
    return f"{name} is not trained yet: the audit trains it first"


def _keep_released(
    name: str, recipe: VictimRecipe, weights: Released, cached: Cached, root: Path | None, seed: int
) -> Path:
    if seed != 0:
        raise SpecError(f"{name} has one set of released weights, and no other seed of them",
                        got=seed, want="0")  # fmt: skip
    path = released_file(name, weights, root)
    model = released_model(name, recipe, weights, path)
    card = {
        "name": name,
        "seed": seed,
        "recipe": _as_json(recipe),
        "test": _accuracy(weights.correct, DATASETS[recipe.dataset].test),
        "read_from": str(path),
        "torch": torch.__version__,
    }
    cached.write(model, card)
    return cached.folder


def _recipe(name: str, epochs: int | None) -> VictimRecipe:
    if name not in VICTIMS:
        raise SpecError(suggest("victim", name, list(VICTIMS)), ChooseFrom("victims"))
    recipe = VICTIMS[name]
    if epochs is None:
        return recipe
    if isinstance(recipe.training, Released):
        raise SpecError(f"{name} has released weights, and no epochs of a training", got=epochs)
    if epochs < 1:
        raise SpecError(f"Victim {name!r} has too few epochs of training", got=epochs,
                        want="1 or more")  # fmt: skip
    return replace(recipe, training=replace(recipe.training, epochs=epochs))


def _accuracy(hits: int, rows: int) -> dict[str, float]:
    """The accuracy with its 95 % Wilson interval."""
    from scipy.stats import binomtest  # its import takes half a second; a cached victim needs none

    interval = binomtest(hits, rows).proportion_ci(method="wilson")
    return {"accuracy": hits / rows, "low": interval.low, "high": interval.high, "rows": rows}


def _as_json(recipe: VictimRecipe) -> dict[str, Any]:
    """The fields that determine a training, as a card returns them."""
    fields = asdict(recipe)
    for other in ("summary", "student", "kept"):
        del fields[other]
    return json.loads(json.dumps(fields))


def _cached(name: str, cache: Path | None, seed: int, epochs: int | None) -> Cached:
    shortened = "" if epochs is None else f"-epochs{epochs}"
    folder = (cache or cache_root()) / "victims" / f"{name}-seed{seed}{shortened}"
    return Cached(folder, "victim", VictimError)
