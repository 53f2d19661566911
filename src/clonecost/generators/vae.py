"""The VAE of Black-Box Ripper (NeurIPS 2020), trained on proxy data.

Adam 1e-3, batch 64, 120 epochs; sum of squared errors + beta KL, with eight cycles in which beta
rises from 0 to 1 and stays (cyclical annealing: Fu et al., NAACL 2019). It sends no query.
"""

from math import log, pi

import torch
from torch import Tensor, nn

from clonecost.generators.base import Family, TrainingResult, standard_normal
from clonecost.generators.recipes import VaeRecipe
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.networks.vae import LATENT_DIM, Vae, VaeOutput, elbo_terms
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.mixed_precision import autocast_bfloat16
from clonecost.training.optimisers import Adam
from clonecost.types import LabelledInputs, Progress, Shape

CYCLE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0)
REPORT_EVERY = 20  # steps between two calls of the progress function
SHOWN = 64  # images in a panel
MEASURE_SEED = 20_240_102  # of the latents in measurements on held-out rows
CHUNK = 256  # rows per forward pass outside training


def betas(epochs: int) -> list[float]:
    """The weight of the KL in each epoch: consecutive CYCLEs of 15 epochs each.

    Other numbers of epochs stretch or compress the cycles evenly; there is at least one, and its
    last epoch has weight 1, without which latents from the prior would not match the decoder's.

    Example:
        >>> betas(3)
        [0.0, 0.7, 1.0]
    """
    count = max(1, epochs // len(CYCLE))
    ends = [epochs * k // count for k in range(count + 1)]
    return [beta for k in range(count) for beta in _cycle(ends[k + 1] - ends[k])]


def _cycle(length: int) -> list[float]:
    last = len(CYCLE) - 1
    return [CYCLE[round(i * last / (length - 1))] if length > 1 else 1.0 for i in range(length)]


def train_vae(
    data: LabelledInputs,
    held_out: LabelledInputs,
    recipe: VaeRecipe,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    loop: Loop = plain,
) -> TrainingResult:
    """Train on `data` and measure on `held_out`, both (n, C, H, W).

    The same seed gives the same weights on the same machine with the same number of threads; the
    global random state does not change. Losses are means over the rows of an epoch, in nats:
    squared error and KL as in `elbo_terms`.

    Raises:
        SpecError: H or W is not a multiple of 8.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        vae = build_vae(recipe, data.shape).to(device)
    _lay_out(vae, torch.channels_last)
    losses = _fit(vae.train(), data.to(device), recipe, seed, device, progress, loop)
    _lay_out(vae.eval().requires_grad_(False), torch.contiguous_format)
    shown = held_out.rows(slice(SHOWN), device)
    output = _reconstruct(vae, shown, torch.Generator(device).manual_seed(MEASURE_SEED))
    return TrainingResult(vae, losses, _measure(vae, held_out, device), {
        "held-out proxy images": shown,
        "their reconstructions": to_pixels(output.reconstruction),
    })  # fmt: skip


def build_vae(recipe: VaeRecipe, shape: Shape, classes: int = 0) -> Vae:
    """The network, untrained; see `Vae`. It has no classes."""
    return Vae(shape, recipe.latent_dim, recipe.width)


def decode_vae(network: nn.Module, latents: Tensor) -> Tensor:
    """(n, latent_dim) -> (n, C, H, W) pixels in [0, 1]."""
    assert isinstance(network, Vae)
    return to_pixels(network.decoder(latents))


def _fit(
    vae: Vae,
    data: LabelledInputs,
    recipe: VaeRecipe,
    seed: int,
    device: torch.device,
    progress: Progress,
    loop: Loop,
) -> list[dict[str, float]]:
    order_rng = torch.Generator().manual_seed(seed)  # on the CPU: the same order on every device
    rng = torch.Generator(device).manual_seed(seed)
    optimiser = Adam(vae.parameters(), recipe.lr)
    losses: list[dict[str, float]] = []
    steps = -(-len(data) // recipe.batch_size)
    total, weights = steps * recipe.epochs, betas(recipe.epochs)
    for epoch in loop(
        lambda ended: ended < recipe.epochs,
        vae=vae, optimiser=optimiser, order=order_rng, latents=rng, losses=losses,
    ):  # fmt: skip
        done, beta = epoch * steps, weights[epoch]
        sums = torch.zeros(2, device=device)
        order = torch.randperm(len(data), generator=order_rng).to(device)
        for rows in order.split(recipe.batch_size):
            x = to_space(data.rows(rows, device)).contiguous(memory_format=torch.channels_last)
            with autocast_bfloat16(device, recipe.low_precision):
                output = vae(x, rng)
            terms = elbo_terms(x, *output)
            optimiser.zero_grad()
            (terms.reconstruction + beta * terms.kl).mean().backward()
            optimiser.step()
            sums += torch.stack([term.detach().sum() for term in terms])
            done += 1
            if done % REPORT_EVERY == 0 or done == total:
                progress("training steps", done, total)
        error, kl = (sums / len(data)).tolist()
        losses.append({"epoch": epoch + 1, "beta": beta, "squared_error": error, "kl": kl})
    return losses


@torch.no_grad()
def _measure(vae: Vae, data: LabelledInputs, device: torch.device) -> dict[str, float]:
    """Quality on held-out rows. A pixel is one value of one channel.

    `reconstruction_rmse` compares pixels in [0, 1], clamped; `negative_elbo_nats_per_pixel` bounds
    -log p of images in [-1, 1], unclamped, with the Gaussian noise of variance 1/2 that the
    training loss implies. Both use one draw of latents per row.
    """
    rng = torch.Generator(device).manual_seed(MEASURE_SEED)
    errors, bounds = torch.zeros(2, dtype=torch.float64)
    for rows in torch.arange(len(data)).split(CHUNK):
        pixels = data.rows(rows, device)
        output = _reconstruct(vae, pixels, rng)
        terms = elbo_terms(to_space(pixels), *output)
        errors += (to_pixels(output.reconstruction) - pixels).square().sum().cpu().double()
        bounds += (terms.reconstruction + terms.kl).sum().cpu().double()
    values = data.inputs.numel()
    return {
        "reconstruction_rmse": float(errors / values) ** 0.5,
        "negative_elbo_nats_per_pixel": float(bounds / values) + log(pi) / 2,
    }


@torch.no_grad()
def _reconstruct(vae: Vae, pixels: Tensor, rng: torch.Generator) -> VaeOutput:
    """The output for drawn latents, not for their means.

    Means are much shorter than the latents in training, and the decoder's first PixelNorm, which
    normalises lengths, would exaggerate the contrast.
    """
    output: VaeOutput = vae(to_space(pixels), rng)
    return output


def _lay_out(vae: Vae, layout: torch.memory_format) -> None:
    # channels-last is faster for small images, on CPUs too
    vae.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack it


FAMILY = Family(
    train=train_vae, build=build_vae, decode=decode_vae, latent_dim=LATENT_DIM,
    latents=standard_normal,
)  # fmt: skip
