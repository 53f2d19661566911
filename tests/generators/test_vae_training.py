from itertools import pairwise
from math import log, pi

import pytest
import torch

from clonecost.generators.recipes import VaeRecipe
from clonecost.generators.vae import CYCLE, MEASURE_SEED, betas, train_vae
from clonecost.networks import Vae
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.networks.vae import elbo_terms
from clonecost.types import LabelledInputs, no_progress

CPU = torch.device("cpu")


def gradients(count: int, seed: int) -> LabelledInputs:
    """(n, 1, 8, 8): two parameters per row, brightness and slope."""
    rng = torch.Generator().manual_seed(seed)
    level, slope = torch.rand(2, count, 1, 1, 1, generator=rng)
    ramp = torch.linspace(-1, 1, 8).expand(1, 1, 8, 8)
    pixels = (0.5 + 0.5 * (level - 0.5) + 0.5 * (slope - 0.5) * ramp).mul(255).byte()
    return LabelledInputs(pixels, torch.zeros(count, dtype=torch.int64))


def test_beta_rises_and_stays_eight_times_in_the_published_120_epochs() -> None:
    cycle = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1, 1, 1, 1]
    assert list(CYCLE) == cycle
    assert betas(120) == cycle * 8
    assert VaeRecipe().epochs == 120


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 14, 16, 29, 31, 47, 100, 121])
def test_other_numbers_of_epochs_stretch_whole_cycles(epochs: int) -> None:
    found = betas(epochs)
    assert len(found) == epochs
    assert found[-1] == 1
    assert found[0] == (0 if epochs > 1 else 1)
    falls = sum(later < earlier for earlier, later in pairwise(found))
    assert falls == max(1, epochs // 15) - 1
    assert set(found) <= set(CYCLE)


def test_it_learns_to_reconstruct_and_its_figures_are_correct() -> None:
    data, held_out = gradients(320, 0), gradients(100, 1)
    recipe = VaeRecipe(epochs=4, batch_size=16, lr=3e-3, width=16, latent_dim=4)
    made = train_vae(data, held_out, recipe, seed=0, device=CPU, progress=no_progress)
    assert isinstance(made.network, Vae)
    assert not made.network.training
    assert [loss["epoch"] for loss in made.losses] == [1, 2, 3, 4]
    assert [loss["beta"] for loss in made.losses] == betas(4)
    assert made.losses[-1]["squared_error"] < made.losses[0]["squared_error"] / 2
    assert made.losses[-1]["kl"] > 0.5  # the latents say something, although they are charged for

    pixels = held_out.rows(slice(None))
    with torch.no_grad():
        rng = torch.Generator().manual_seed(MEASURE_SEED)
        again = to_pixels(made.network(to_space(pixels), rng).reconstruction)
    rmse = (again - pixels).square().mean().sqrt().item()
    assert made.quality["reconstruction_rmse"] == pytest.approx(rmse, rel=1e-4)
    assert rmse < 0.85 * pixels.std(0).mean().item()  # what naming the mean image would give
    shown = made.panels["their reconstructions"]
    assert shown.shape == (64, 1, 8, 8)
    assert (shown - pixels[:64]).square().mean().sqrt().item() == pytest.approx(rmse, rel=0.2)
    assert torch.equal(made.panels["held-out proxy images"], pixels[:64])

    inputs = to_space(pixels)
    with torch.no_grad():
        draws = [
            elbo_terms(inputs, *made.network(inputs, torch.Generator().manual_seed(seed)))
            for seed in range(20)
        ]
    bound = torch.stack([sum(terms).mean() for terms in draws]).mean() / 64 + log(pi) / 2  # type: ignore[union-attr]
    assert made.quality["negative_elbo_nats_per_pixel"] == pytest.approx(bound.item(), abs=0.02)


def test_an_incomplete_batch_is_used_for_training() -> None:
    made = [
        train_vae(
            gradients(rows, 0), gradients(10, 1), VaeRecipe(epochs=1, width=2, latent_dim=2),
            seed=0, device=CPU, progress=no_progress,
        ).network.state_dict()["decoder.body.0.weight"]
        for rows in (64, 65)
    ]  # fmt: skip
    assert not torch.equal(*made)
