import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from clonecost.data import DATASETS, load
from clonecost.errors import SpecError, VictimError
from clonecost.networks import NETWORKS, build
from clonecost.persistence.disk import file_digest
from clonecost.victims.zoo import images as zoo
from clonecost.victims.zoo.catalogue import VICTIMS, Training
from clonecost.victims.zoo.images import cache_root, train_victim, zoo_victim


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the real digits victim, which is trained once for all tests."""
    zoo_victim("digits-lenet")
    cache, held = tmp_path_factory.mktemp("cache"), Path("victims", "digits-lenet-seed0")
    shutil.copytree(cache_root() / held, cache / held, ignore=shutil.ignore_patterns("*.lock"))
    return cache


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(zoo, "train_victim", refuse)


@pytest.mark.usefixtures("no_training")
def test_digits_lenet_is_accurate_and_its_card_is_correct(cache: Path) -> None:
    folder = cache / "victims" / "digits-lenet-seed0"
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "weights.safetensors"]
    card = json.loads((folder / "card.json").read_text())
    victim = zoo_victim("digits-lenet", cache=cache)
    test = load("digits", "test", shape=(1, 32, 32))
    hits = (victim.answer(test.rows(slice(None))).argmax(1) == test.labels).float().mean().item()
    assert card["test"]["accuracy"] == pytest.approx(hits)
    assert hits >= 0.97
    assert card["test"]["low"] < hits < card["test"]["high"]
    assert card["test"]["rows"] == len(test)
    assert card["sha256"] == victim.weights == file_digest(folder / "weights.safetensors")
    assert (victim.name, victim.input_shape, victim.num_classes) == (
        "digits-lenet", (1, 32, 32), 10,
    )  # fmt: skip


def test_training_is_repeatable_and_leaves_the_global_random_state(tmp_path: Path) -> None:
    done: list[tuple[str, int, int]] = []
    state = torch.get_rng_state()
    digests = [
        zoo_victim(
            "digits-lenet", cache=tmp_path / str(run), seed=seed, epochs=1,
            progress=lambda *call: done.append(call),
        ).weights
        for run, seed in enumerate((1, 1, 2))
    ]  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert digests[0] == digests[1] != digests[2]
    assert done[-1] == ("training digits-lenet", 70, 70)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """The folder of a victim trained for one epoch."""
    return train_victim("digits-lenet", cache=tmp_path, epochs=1)


@pytest.mark.parametrize("damage", ["altered", "weights gone", "card broken", "card no object"])
def test_a_damaged_cache_is_one_sentence(short: Path, tmp_path: Path, damage: str) -> None:
    weights, card = short / "weights.safetensors", short / "card.json"
    match damage:
        case "altered":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        case "weights gone":
            weights.unlink()
        case "card broken":
            card.write_text('{"name": ')
        case _:
            card.write_text("[]")
    with pytest.raises(VictimError, match=r"does not match .* Delete that folder"):
        zoo_victim("digits-lenet", cache=tmp_path, epochs=1)


def test_another_recipe_trains_again(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = zoo_victim("digits-lenet", cache=tmp_path, epochs=1).weights
    assert before == file_digest(short / "weights.safetensors")
    recipe = VICTIMS["digits-lenet"]
    assert isinstance(recipe.training, Training)
    other = replace(recipe, training=replace(recipe.training, lr=0.01))
    monkeypatch.setitem(VICTIMS, "digits-lenet", replace(recipe, summary="new words"))
    assert zoo_victim("digits-lenet", cache=tmp_path, epochs=1).weights == before
    monkeypatch.setitem(VICTIMS, "digits-lenet", other)
    after = zoo_victim("digits-lenet", cache=tmp_path, epochs=1).weights
    assert after != before
    assert json.loads((short / "card.json").read_text())["recipe"]["training"]["lr"] == 0.01


def test_the_cache_folder_can_be_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_training: None
) -> None:
    monkeypatch.setenv("CLONECOST_CACHE", str(cache))
    assert cache_root() == cache
    assert zoo_victim("digits-lenet").name == "digits-lenet"
    monkeypatch.delenv("CLONECOST_CACHE")
    assert "clonecost" in cache_root().parts


def test_a_cache_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VictimError, match=r"cannot be kept in .* with CLONECOST_CACHE"):
        train_victim("digits-lenet", cache=tmp_path / "file")


def test_unknown_victims_and_epochs() -> None:
    with pytest.raises(SpecError, match="did you mean 'digits-lenet'"):
        zoo_victim("digit-lenet")
    with pytest.raises(SpecError, match=r"epochs .*got 0, want 1 or more"):
        zoo_victim("digits-lenet", epochs=0)


@pytest.mark.parametrize("name", VICTIMS)
def test_every_recipe_fits_its_network_and_data(name: str) -> None:
    recipe = VICTIMS[name]
    card = DATASETS[recipe.dataset]
    assert recipe.num_classes == card.num_classes
    assert recipe.student in NETWORKS
    assert name.startswith(recipe.dataset)
    if recipe.dataset in ("digits", "svhn"):
        assert "flip" not in asdict(recipe)["training"]["augment"]  # a mirrored 3 is no digit
    with torch.device("meta"):
        build(
            recipe.network, recipe.input_shape, recipe.num_classes,
            mean=recipe.mean, std=recipe.std,
        )  # fmt: skip
