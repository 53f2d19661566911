"""Subsets of a data set by class: the proxy data of the papers, or any classes by name."""

import torch

from clonecost.data.catalogue import DATASETS
from clonecost.data.class_names import matched
from clonecost.errors import Advice, SpecError, suggest
from clonecost.types import LabelledInputs

_VEHICLES = (
    "bicycle", "bus", "motorcycle", "pickup_truck", "train",
    "lawn_mower", "rocket", "streetcar", "tank", "tractor",
)  # fmt: skip

# The CIFAR-100 proxies of DeGAN (AAAI 2020), Black-Box Ripper (NeurIPS 2020) and DFMS-HL (CVPR
# 2022), all chosen to share no class with CIFAR-10. Names and members are those of their code.
CIFAR100_SUBSETS: dict[str, tuple[str, ...]] = {
    # Everything but the superclasses "vehicles 1" and "vehicles 2".
    "90": tuple(name for name in DATASETS["cifar100"].classes if name not in _VEHICLES),
    # Eight superclasses, one a line.
    "40": (
        "orchid", "poppy", "rose", "sunflower", "tulip",
        "bottle", "bowl", "can", "cup", "plate",
        "apple", "mushroom", "orange", "pear", "sweet_pepper",
        "clock", "keyboard", "lamp", "telephone", "television",
        "bed", "chair", "couch", "table", "wardrobe",
        "maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree",
        "bridge", "castle", "house", "road", "skyscraper",
        "cloud", "forest", "mountain", "plain", "sea",
    ),
    # "Random" classes.
    "10": (
        "rose", "maple_tree", "mountain", "house", "telephone",
        "orange", "can", "wardrobe", "orchid", "couch",
    ),
    # "Background" classes.
    "6": ("road", "cloud", "forest", "mountain", "plain", "sea"),
}  # fmt: skip


def members(data_set: str, subset: str, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The class names of `subset`: a named subset, or class names separated by commas.

    A name is matched as written, else without case, spaces, hyphens and underscores where that
    leaves no doubt.

    Raises:
        SpecError: a class is unknown or named twice, or the data set has no class names.

    Example:
        >>> members("fmnist", "coat,bag", DATASETS["fmnist"].classes)
        ('Coat', 'Bag')
    """
    if data_set == "cifar100" and subset in CIFAR100_SUBSETS:
        return CIFAR100_SUBSETS[subset]
    if not classes:
        raise SpecError(
            f"{data_set} has no class names, so {subset!r} selects nothing in it.",
            Advice("leave the subset out"),
        )
    parts = [part.strip() for part in subset.split(",")]
    found = matched(parts, classes)
    if unknown := [part for part in parts if part not in found]:
        named = list(CIFAR100_SUBSETS) if data_set == "cifar100" else []
        raise SpecError(suggest(f"class of {data_set}", unknown[0], [*classes, *named]),
                        Advice("name its classes, with commas between them"))  # fmt: skip
    chosen = [classes[found[part]] for part in parts]
    if len(set(chosen)) < len(chosen):
        raise SpecError(f"{data_set}:{subset} names a class twice.", Advice("name each class once"))
    return tuple(chosen)


def only(data: LabelledInputs, chosen: tuple[str, ...]) -> LabelledInputs:
    """The rows of the `chosen` classes, in their order; label i is then the i-th chosen class."""
    renumbered = torch.full((len(data.classes),), -1)
    for new, name in enumerate(chosen):
        renumbered[data.classes.index(name)] = new
    labels = torch.where(data.labels < 0, -1, renumbered[data.labels])
    rows = (labels >= 0).nonzero().squeeze(1)
    return LabelledInputs(data.inputs[rows], labels[rows], chosen, data.name)
