"""Data sets as tensors: published ones by name, a user's own by path, and their overlap."""

from clonecost.data.catalogue import DATASETS, DatasetCard, Split
from clonecost.data.fitting import fit, overlap
from clonecost.data.loading import load
from clonecost.data.locations import cache_folder
from clonecost.data.subsets import CIFAR100_SUBSETS

__all__ = [
    "CIFAR100_SUBSETS",
    "DATASETS",
    "DatasetCard",
    "Split",
    "cache_folder",
    "fit",
    "load",
    "overlap",
]
