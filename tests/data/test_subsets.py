import os
from pathlib import Path

import pytest
import torch

from clonecost.data import CIFAR100_SUBSETS, DATASETS
from clonecost.data.subsets import members, only
from clonecost.errors import SpecError
from clonecost.types import LabelledInputs

FINE = DATASETS["cifar100"].classes
COARSE_OF_40 = {
    "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "trees", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
}  # fmt: skip

OTHER_COARSE = {
    "insects", "large_carnivores", "large_omnivores_and_herbivores", "medium_mammals",
    "non-insect_invertebrates", "people", "reptiles", "small_mammals", "vehicles_1", "vehicles_2",
}  # fmt: skip


@pytest.mark.parametrize("name", CIFAR100_SUBSETS)
def test_named_subsets_have_their_size_and_no_class_of_cifar10(name: str) -> None:
    classes = CIFAR100_SUBSETS[name]
    assert len(set(classes)) == len(classes) == int(name)
    assert set(classes) <= set(FINE)
    # Neither the ten classes themselves nor the near ones that the papers left out.
    near = {"pickup_truck", "bus", "streetcar", "tank", "tractor", "train", "rocket"}
    assert not set(classes) & ({*DATASETS["cifar10"].classes} | near)


def test_the_smaller_subsets_have_their_official_numbers() -> None:
    numbers = {name: [FINE.index(c) for c in CIFAR100_SUBSETS[name]] for name in ("6", "10")}
    assert numbers["6"] == [68, 23, 33, 49, 60, 71]
    assert numbers["10"] == [70, 47, 49, 37, 86, 53, 16, 94, 54, 25]


def test_the_forty_are_eight_whole_superclasses() -> None:
    folder = Path(os.environ.get("CLONECOST_DATA", "nowhere")) / "cifar100"
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    paths = sorted(folder.glob("train*.parquet"))
    if not paths:
        pytest.skip("no CIFAR-100 in Parquet in CLONECOST_DATA")
    table = pq.read_table(paths[0], columns=["fine_label", "coarse_label"])
    coarse_names = sorted({"aquatic_mammals", "fish", *COARSE_OF_40, *OTHER_COARSE})
    coarse = {
        FINE[f]: coarse_names[c]
        for f, c in zip(*(column.to_pylist() for column in table.columns), strict=True)
    }
    assert {name for name in FINE if coarse[name] in COARSE_OF_40} == set(CIFAR100_SUBSETS["40"])
    vehicles = {name for name in FINE if coarse[name].startswith("vehicles")}
    assert set(FINE) - vehicles == set(CIFAR100_SUBSETS["90"])


def test_classes_are_renumbered_in_the_order_named() -> None:
    labels = torch.tensor([2, 0, 1, 2, -1])
    data = LabelledInputs(torch.arange(5), labels, ("a", "b", "c"))
    part = only(data, ("c", "a"))
    assert part.inputs.tolist() == [0, 1, 3]
    assert part.labels.tolist() == [0, 1, 0]
    assert part.classes == ("c", "a")


def test_capitals_and_spaces_do_not_matter() -> None:
    clothes = DATASETS["fmnist"].classes
    assert members("fmnist", "ankle_boot, t-shirt/top", clothes) == ("Ankle boot", "T-shirt/top")


@pytest.mark.parametrize(
    ("data_set", "subset", "complaint"),
    [
        ("cifar100", "hose", "unknown class of cifar100 'hose'; did you mean 'house'"),
        ("cifar10", "90", "unknown class of cifar10 '90'"),
        ("cifar10", "cat,dog,cat", "names a class twice"),
        ("cifar10", "cat,", "unknown class of cifar10 ''"),
    ],
)
def test_a_typo_suggests_the_nearest_name(data_set: str, subset: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        members(data_set, subset, DATASETS[data_set].classes)


def test_a_set_without_names_has_no_subsets() -> None:
    with pytest.raises(SpecError, match="no class names"):
        members("own.npz", "cat", ())


def test_a_name_as_written_goes_before_names_like_it() -> None:
    assert members("own", "cat,Cat", ("Cat", "cat")) == ("cat", "Cat")
    with pytest.raises(SpecError, match="unknown class of own 'CAT'"):
        members("own", "CAT", ("Cat", "cat"))
    assert members("own", "pick-up TRUCK", ("pick up_truck",)) == ("pick up_truck",)
