import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import clonecost
from clonecost.errors import CloneCostError, DataError, SpecError
from clonecost.generators import (
    GENERATORS,
    TrainedGenerator,
    cached_generator,
    load_generator,
    train_generator,
)
from clonecost.generators.recipes import VaeRecipe
from clonecost.persistence.disk import file_digest
from clonecost.types import LabelledInputs


def noise(
    rows: int = 150, shape: tuple[int, ...] = (1, 8, 8), name: str = "noise"
) -> LabelledInputs:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (rows, *shape), generator=rng, dtype=torch.uint8)
    return LabelledInputs(pixels, torch.full((rows,), -1), name=name)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one generator; tests that alter it make their own."""
    cache = tmp_path_factory.mktemp("cache")
    train_generator("vae", noise(), epochs=1, cache=cache)
    return cache


@pytest.fixture(scope="module")
def folder(cache: Path) -> Path:
    return cache / "generators" / "vae-noise-1x8x8-seed0-epochs1"


@pytest.fixture(scope="module")
def generator(folder: Path) -> TrainedGenerator:
    return load_generator(folder)


def test_the_folder_is_complete_and_its_card_correct(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["card.json", "samples.png", "weights.safetensors"]
    card = json.loads((folder / "card.json").read_text())
    assert card["sha256"] == file_digest(folder / "weights.safetensors")
    assert card["proxy"]["name"] == "noise"
    assert card["proxy"]["rows"] == card["trained_on"] + card["quality"]["rows"] == 150
    assert card["quality"]["rows"] == 15
    assert card["recipe"] == {**json.loads(json.dumps(vars(VaeRecipe()))), "epochs": 1}
    assert card["shape"] == [1, 8, 8]
    assert [loss["epoch"] for loss in card["losses"]] == [1]
    assert card["clonecost"] == clonecost.__version__
    assert card["quality"]["reconstruction_rmse"] < 0.5  # uniform noise against grey: 0.29


def test_training_is_repeatable_and_leaves_the_global_random_state(
    tmp_path: Path, generator: TrainedGenerator
) -> None:
    said: list[tuple[str, int, int]] = []
    state = torch.get_rng_state()
    again, other = (
        load_generator(
            train_generator(
                "vae", noise(), epochs=1, seed=seed, cache=tmp_path,
                progress=lambda *call: said.append(call),
            )
        ).weights
        for seed in (0, 1)
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert again == generator.weights != other
    assert said[-1] == ("training vae", 3, 3)


def test_decoded_pixels_do_not_depend_on_other_rows(
    generator: TrainedGenerator,
) -> None:
    latents = 9 * generator.sample_latents(300, torch.Generator().manual_seed(0))  # far out
    images = generator.decode(latents)
    assert images.shape == (300, 1, 8, 8)
    assert (images.dtype, images.requires_grad) == (torch.float32, False)
    assert 0 <= images.min() < images.max() <= 1
    torch.testing.assert_close(generator.decode(latents[127:130]), images[127:130])
    assert generator.image_shape == (1, 8, 8)
    assert generator.proxy == "noise"


def test_latents_are_standard_normal_and_drawn_from_the_given_generator(
    generator: TrainedGenerator,
) -> None:
    state = torch.get_rng_state()
    latents = generator.sample_latents(400, torch.Generator().manual_seed(3))
    assert latents.shape == (400, generator.latent_dim) == (400, 256)
    assert latents.mean().abs() < 0.02
    assert latents.std().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(latents, generator.sample_latents(400, torch.Generator().manual_seed(3)))
    assert torch.equal(torch.get_rng_state(), state)


def test_gradients_reach_latents_but_not_parameters(generator: TrainedGenerator) -> None:
    latents = torch.randn(2, 256, requires_grad=True)
    generator.decode(latents).sum().backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in generator.network.parameters())


def test_latents_of_another_shape_are_refused(generator: TrainedGenerator) -> None:
    with pytest.raises(SpecError, match=r"takes latents \(n, 256\): got \(2, 255\)"):
        generator.decode(torch.zeros(2, 255))


def test_the_cache_finds_only_what_it_has(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(proxy: LabelledInputs, epochs: int | None = 1, seed: int = 0) -> Path | None:
        return cached_generator("vae", proxy, epochs=epochs, seed=seed, cache=cache)

    same = noise()
    assert find(same) == folder
    assert find(same, epochs=2) is find(same, seed=1) is find(same, epochs=None) is None
    same.inputs[7, 0, 3, 3] ^= 1
    assert find(same) is None
    row = GENERATORS["vae"]
    monkeypatch.setitem(GENERATORS, "vae", replace(row, recipe=VaeRecipe(lr=0.1)))
    assert find(noise()) is None


def test_pixels_may_be_floats(tmp_path: Path, generator: TrainedGenerator) -> None:
    proxy = noise()
    floats = replace(proxy, inputs=proxy.rows(slice(None)))
    made = load_generator(train_generator("vae", floats, epochs=1, cache=tmp_path))
    assert made.weights == generator.weights


@pytest.mark.parametrize(
    "name", ["/data/My Cats.npz:tabby,wild", "C:\\data\\My Cats.npz", "", "x" * 300]
)
def test_any_name_of_a_proxy_makes_a_folder(tmp_path: Path, name: str) -> None:
    place = train_generator("vae", noise(20, name=name), epochs=1, seed=2, cache=tmp_path)
    assert place.parent == tmp_path / "generators"
    slug = place.name.removeprefix("vae-").removesuffix("-1x8x8-seed2-epochs1")
    assert slug in ("my-cats-npz-tabby-wild", "my-cats-npz", "proxy", "x" * 60)


@pytest.mark.parametrize(
    "damage", ["altered", "weights gone", "card broken", "other name", "other shape", "no proxy"]
)
def test_a_damaged_folder_is_one_sentence(tmp_path: Path, damage: str) -> None:
    place = train_generator("vae", noise(20), epochs=1, cache=tmp_path)
    weights, path = place / "weights.safetensors", place / "card.json"
    card = json.loads(path.read_text())
    match damage:
        case "altered":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        case "weights gone":
            weights.unlink()
        case "card broken":
            path.write_text('{"name": ')
        case "other name":
            path.write_text(json.dumps({**card, "name": "gan"}))
        case "other shape":
            path.write_text(json.dumps({**card, "shape": [1, 16, 16]}))
        case _:
            path.write_text(json.dumps({**card, "proxy": None}))
    with pytest.raises(DataError, match=r"cached generator .* Delete that folder") as caught:
        load_generator(place)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_generator(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no trained generator\. Call `train_generator`"):
        load_generator(tmp_path)


REFUSED: dict[str, tuple[type[CloneCostError], str]] = {
    "name": (SpecError, "did you mean 'vae'"),
    "epochs": (SpecError, "at least 1 epoch"),
    "shape": (SpecError, "multiples of 8, not (1, 28, 28)"),
    "channels": (SpecError, "grey or RGB"),
    "features": (SpecError, "grey or RGB"),
    "rows": (DataError, "noise has 9 rows"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(
    what: str, tmp_path: Path
) -> None:
    error, words = REFUSED[what]
    proxies = {"shape": noise(20, (1, 28, 28)), "channels": noise(20, (2, 8, 8)),
               "features": noise(20, (8,)), "rows": noise(9)}  # fmt: skip
    with pytest.raises(error) as caught:
        train_generator(
            "vea" if what == "name" else "vae", proxies.get(what, noise(20)),
            epochs=0 if what == "epochs" else 1, cache=tmp_path,
        )  # fmt: skip
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_cache_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"generator cannot be kept in .* with CLONECOST_CACHE"):
        train_generator("vae", noise(20), cache=tmp_path / "file")
