"""Every generator of the catalogue, trained with a tiny recipe, stored and loaded."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tests.support.tiny_generators import TINY, noise

from clonecost.generators import (
    GENERATORS,
    cached_generator,
    load_generator,
    train_generator,
)

PAGE = Path(__file__).parents[2] / "docs" / "generators.md"


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_is_trained_stored_and_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = GENERATORS[name]
    recipe = replace(row.recipe, epochs=1, **TINY[name.split("-")[0]])  # type: ignore[type-var]
    monkeypatch.setitem(GENERATORS, name, replace(row, recipe=recipe))
    state = torch.get_rng_state()
    folder = train_generator(name, noise(), cache=tmp_path)
    made = load_generator(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert cached_generator(name, noise(), cache=tmp_path) == folder

    card = json.loads((folder / "card.json").read_text())
    classes = 3 if row.conditional else 0
    assert card["classes"] == classes
    assert card["recipe"] == json.loads(json.dumps(asdict(recipe)))  # type: ignore[call-overload]
    assert {"frechet_pixels_8x8", "frechet_pixels_8x8_of_real_rows"} <= card["quality"].keys()
    assert all(value >= 0 for value in card["quality"].values())
    assert (made.name, made.image_shape) == (name, (3, 16, 16))
    assert made.latent_dim == row.family.latent_dim + classes

    latents = made.sample_latents(5, torch.Generator().manual_seed(1))
    images = made.decode(latents)
    assert (images.shape, images.dtype) == ((5, 3, 16, 16), torch.float32)
    assert 0 <= images.min() < images.max() <= 1
    torch.testing.assert_close(made.decode(latents[3:]), images[3:], atol=1e-3, rtol=0)
    with torch.device("meta"):
        plain = row.family.build(recipe, (3, 16, 16), classes)
    assert sorted(made.network.state_dict()) == sorted(plain.state_dict())
    assert card["parameters"] == sum(tensor.numel() for tensor in plain.parameters())


def test_the_page_has_a_line_for_every_row_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^\| `([^`]+)` \| (\d+)[^|]*\| ([\d.]+) M \|", text, re.MULTILINE)
    assert [name for name, *_ in found] == list(GENERATORS)
    for name, latents, millions in found:
        row = GENERATORS[name]
        with torch.device("meta"):
            network = row.family.build(row.recipe, (3, 32, 32), 10 if row.conditional else 0)
        count = sum(tensor.numel() for tensor in network.parameters())
        assert f"{count / 1e6:.1f}" == millions
        assert int(latents) == row.family.latent_dim


@pytest.mark.parametrize("name", [name for name in GENERATORS if name.endswith("-small")])
def test_small_generators_are_smaller(name: str) -> None:
    row, full = GENERATORS[name], GENERATORS[name.removesuffix("-small")]
    assert row.conditional == full.conditional
    assert row.recipe.epochs < full.recipe.epochs
    assert vars(row.recipe)["width"] < vars(full.recipe)["width"]
