"""Generators that an attacker trains on data of its own: latents -> images. One family a file."""

from clonecost.generators.base import GeneratorCard, TrainedGenerator
from clonecost.generators.catalogue import GENERATORS
from clonecost.generators.lookup import is_path, ready_generator, row_and_epochs
from clonecost.generators.store import (
    SAMPLES,
    cached_generator,
    load_generator,
    train_generator,
)
from clonecost.persistence.model_cache import CARD

__all__ = [
    "CARD",
    "GENERATORS",
    "SAMPLES",
    "GeneratorCard",
    "TrainedGenerator",
    "cached_generator",
    "is_path",
    "load_generator",
    "ready_generator",
    "row_and_epochs",
    "train_generator",
]
