import json
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
from clonecost.victims.zoo.images import (
    cache_root,
    is_trained,
    kept_weights,
    train_victim,
    zoo_victim,
)

KEPT = [name for name, recipe in VICTIMS.items() if recipe.kept]


@pytest.mark.parametrize("name", KEPT)
def test_small_victims_come_with_their_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path / "cache"))
    recipe = VICTIMS[name]
    assert recipe.kept
    assert is_trained(name)
    victim = zoo_victim(name)
    assert victim.weights == recipe.kept.sha256
    assert (victim.name, victim.input_shape, victim.num_classes) == (name, recipe.input_shape, 10)
    assert not (tmp_path / "cache").exists()  # neither trained nor copied
    assert (zoo.KEPT / f"{name}.safetensors").stat().st_size < 1_000_000


def test_digits_lenet_is_as_accurate_as_the_catalogue_says() -> None:
    test, kept = load("digits", "test", shape=(1, 32, 32)), VICTIMS["digits-lenet"].kept
    assert kept
    answers = zoo_victim("digits-lenet").answer(test.rows(slice(None)))
    assert int((answers.argmax(1) == test.labels).sum()) == kept.correct
    assert kept.correct / len(test) >= 0.97


def test_the_page_of_the_zoo_names_the_weights_that_come_along() -> None:
    page = (Path(__file__).parents[3] / "docs" / "zoo.md").read_text()
    for name in KEPT:
        recipe = VICTIMS[name]
        assert recipe.kept
        rows = DATASETS[recipe.dataset].test
        row = f"| `{name}` | {recipe.kept.correct:,} of {rows:,} | `{recipe.kept.sha256}` |"
        assert row in page


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "KEPT", tmp_path)
    (tmp_path / "digits-lenet.safetensors").write_bytes(b"others")
    with pytest.raises(
        VictimError, match=r"does not hold the weights .*[Ii]nstall clonecost again"
    ):
        zoo_victim("digits-lenet", cache=tmp_path)


def test_only_another_training_of_them_is_made(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"comes with clonecost, .* with seed 1"):
        train_victim("digits-lenet", cache=tmp_path)
    assert kept_weights("digits-lenet", seed=1) is None
    assert kept_weights("digits-lenet", epochs=1) is None
    assert not is_trained("digits-lenet", cache=tmp_path, seed=1)


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


def test_the_card_says_what_was_trained(short: Path) -> None:
    assert sorted(p.name for p in short.iterdir()) == ["card.json", "weights.safetensors"]
    card = json.loads((short / "card.json").read_text())
    assert card["sha256"] == file_digest(short / "weights.safetensors")
    assert card["test"]["low"] < card["test"]["accuracy"] < card["test"]["high"]
    assert card["test"]["rows"] == DATASETS["digits"].test


def test_the_cache_folder_can_be_named(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    weights = file_digest(short / "weights.safetensors")
    assert zoo_victim("digits-lenet", epochs=1).weights == weights
    monkeypatch.delenv("CLONECOST_CACHE")
    assert "clonecost" in cache_root().parts


def test_a_cache_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VictimError, match=r"cannot be kept in .* with CLONECOST_CACHE"):
        train_victim("digits-lenet", cache=tmp_path / "file", epochs=1)


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
