"""Generators that an attacker trains on data of its own: latents -> images. One family a file."""

from clonecost.generators.base import GeneratorCard, TrainedGenerator
from clonecost.generators.catalogue import GENERATORS
from clonecost.generators.trained import cached_generator, load_generator, train_generator

__all__ = [
    "GENERATORS",
    "GeneratorCard",
    "TrainedGenerator",
    "cached_generator",
    "load_generator",
    "train_generator",
]
