"""Lookup of generators by name or folder, from the cache or trained now, fitted to a victim."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clonecost.data import fit
from clonecost.errors import DataError, SpecError
from clonecost.generators import (
    GENERATORS,
    TrainedGenerator,
    is_path,
    load_generator,
    ready_generator,
    train_generator,
)
from clonecost.generators.recipes import Recipe, SnganRecipe, VaeRecipe
from clonecost.types import LabelledInputs


def noise(rows: int = 40, shape: tuple[int, ...] = (3, 8, 8)) -> LabelledInputs:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (rows, *shape), generator=rng, dtype=torch.uint8)
    return LabelledInputs(pixels, torch.arange(rows) % 4, name="noise")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes: dict[str, Recipe] = {
        "vae": VaeRecipe(epochs=1, width=2),
        "sngan-projection": SnganRecipe(epochs=1, width=4, critic_width=4, conditional=True),
    }
    for name, recipe in recipes.items():
        monkeypatch.setitem(GENERATORS, name, replace(GENERATORS[name], recipe=recipe))


@pytest.fixture
def coloured(tmp_path: Path) -> TrainedGenerator:
    return ready_generator("vae", noise(), cache=tmp_path)


def latents(generator: TrainedGenerator, count: int = 9) -> torch.Tensor:
    return generator.sample_latents(count, torch.Generator().manual_seed(1))


def test_trained_once_then_taken_from_the_cache(tmp_path: Path) -> None:
    calls: list[int] = []
    made = [
        ready_generator(
            "vae", noise(), seed=3, cache=tmp_path, progress=lambda *step: calls.append(step[1])
        )
        for _ in range(2)
    ]
    assert calls == [1]
    assert made[0].weights == made[1].weights
    assert (made[0].name, made[0].proxy) == ("vae", "noise")
    other = replace(noise(), inputs=255 - noise().inputs)
    assert ready_generator("vae", other, seed=3, cache=tmp_path).weights != made[0].weights


def test_the_number_of_epochs_follows_a_colon(tmp_path: Path) -> None:
    two, one = (ready_generator(name, noise(), cache=tmp_path) for name in ("vae:2", "vae"))
    assert two.weights != one.weights
    folder = train_generator("vae", noise(), epochs=2, cache=tmp_path / "again")
    assert load_generator(folder).weights == two.weights
    for wrong in ("vae:", "vae:none", "vae:0"):
        with pytest.raises(SpecError, match=rf"got '{wrong}', want NAME or NAME:EPOCHS.*vae:20"):
            ready_generator(wrong, noise(), cache=tmp_path)


def test_labels_matter_to_conditional_generators_only(tmp_path: Path) -> None:
    calls: list[str] = []
    other = replace(noise(), labels=noise().labels.flip(0))
    for name in ("vae", "sngan-projection"):
        for rows in (noise(), other):
            ready_generator(
                name, rows, cache=tmp_path, progress=lambda what, *_: calls.append(what)
            )
    assert calls == ["training vae", "training sngan-projection", "training sngan-projection"]


def test_a_folder_needs_no_proxy(tmp_path: Path) -> None:
    folder = train_generator("sngan-projection", noise(), cache=tmp_path)
    made = ready_generator(str(folder), None)
    assert made.latent_dim == 128 + 4
    assert made.decode(latents(made)).shape == (9, 3, 8, 8)
    assert is_path(str(folder))
    assert not is_path("vae")
    with pytest.raises(DataError, match="holds no trained generator"):
        ready_generator(str(tmp_path), None)
    with pytest.raises(DataError, match="holds no trained generator"):
        ready_generator("no/such/folder", None)


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'vae'"):
        ready_generator("vea", noise(), cache=tmp_path)
    with pytest.raises(SpecError, match=r"trained on proxy data, and none were given.*`proxy`"):
        ready_generator("vae", None, cache=tmp_path)
    plain = replace(noise(), labels=torch.zeros(40, dtype=torch.int64))
    with pytest.raises(SpecError, match="has no classes to condition on"):
        ready_generator("sngan-projection", plain, cache=tmp_path)


def test_fitted_is_itself_or_grey_by_luma_or_refused(coloured: TrainedGenerator) -> None:
    assert coloured.fitted((3, 8, 8)) is coloured
    grey = coloured.fitted((1, 8, 8))
    assert (grey.image_shape, grey.weights) == ((1, 8, 8), coloured.weights)
    made, z = coloured.decode(latents(coloured)), latents(coloured)
    assert grey.decode(z).shape == (9, 1, 8, 8)
    wanted = fit(LabelledInputs(made, torch.zeros(9)), (1, 8, 8))  # what a data set would become
    assert (grey.decode(z) * 255 - wanted.inputs).abs().max() < 0.501
    assert grey.fitted((1, 8, 8)) is grey
    for shape in ((1, 16, 16), (3, 16, 16), (2, 8, 8)):
        with pytest.raises(SpecError, match=r"\(3, 8, 8\) and the victim takes .* of shape"):
            coloured.fitted(shape)
    with pytest.raises(SpecError, match=r"makes images \(1, 8, 8\)"):
        grey.fitted((3, 8, 8))


def test_low_precision_is_close_float32_and_repeatable(coloured: TrainedGenerator) -> None:
    z, low = latents(coloured, 200), replace(coloured, low_precision=True)
    made = low.decode(z)
    assert made.dtype == torch.float32
    assert 0 <= made.min() <= made.max() <= 1
    assert torch.equal(low.decode(z), made)
    for rows in (slice(5, 6), slice(100, 190)):  # whatever the company
        assert torch.equal(low.decode(z[rows]), made[rows])
    off = (made - coloured.decode(z)).abs().mean()
    assert 0 < off < 0.01
    assert low.fitted((1, 8, 8)).decode(z).dtype == torch.float32
