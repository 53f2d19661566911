"""The ProGAN of Black-Box Ripper (NeurIPS 2020), trained on proxy data.

    L_D = E D(G(z)) - E D(x) + 0.005 E (D(x)^2 + D(G(z))^2) + 10 E (|grad D(x')| - 1)^2
    L_G = -E D(G(z)),    z ~ U(-5, 5)^256,    x' = G(z) + e (x - G(z)), e ~ U(0, 1) for each row

One step of each in turn, seven stages: 4x4, then 8, 16, 32, each faded in and then trained without
fading. Karras et al. 2018 (1710.10196), Gulrajani et al. 2017 (1704.00028). The result is the
moving average of G's weights. It sends no query.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from clonecost.generators import gan_training as gan
from clonecost.generators.base import Family, TrainingResult
from clonecost.generators.recipes import ProganRecipe
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.networks.progan import GROWTH, LATENT_DIM, ProganCritic, ProganGenerator, shrunk
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.gradient_penalty import gradient_penalty
from clonecost.training.mixed_precision import autocast_bfloat16
from clonecost.training.optimisers import Adam
from clonecost.types import LabelledInputs, Progress, Shape

STAGES = [
    (0, False), *((stage, fading) for stage in range(1, GROWTH + 1) for fading in (True, False))
]  # fmt: skip
REACH = 5.0  # latents are U(-REACH, REACH)


def train_progan(
    data: LabelledInputs,
    held_out: LabelledInputs,
    recipe: ProganRecipe,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    loop: Loop = plain,
) -> TrainingResult:
    """Train on `data`, (n, C, H, W), without its labels; `held_out` is shown in a panel only.

    The same seed gives the same weights on the same machine with the same number of threads; the
    global random state does not change. Losses are means over an epoch's steps.

    Raises:
        SpecError: H or W is not a multiple of 8.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        generator = build_progan(recipe, data.shape)
        critic = ProganCritic(data.shape, recipe.width)
        gan.prepare(generator, device)
        gan.prepare(critic, device)
        average = gan.moving_average(generator, recipe.ema)
        rng = torch.Generator(device).manual_seed(seed)
        on_device = data.to(device)
        losses = fit(generator, critic, average, on_device, recipe, rng, progress, loop)
        network = gan.finalise(average, (), device)  # no batch norm, no statistics
    shown = held_out.rows(slice(gan.SHOWN), device)
    return TrainingResult(network, losses, {}, {"held-out proxy images": shown})


def build_progan(recipe: ProganRecipe, shape: Shape, classes: int = 0) -> ProganGenerator:
    """The generator, untrained; see `ProganGenerator`. It has no classes."""
    return ProganGenerator(shape, recipe.width)


def decode_progan(network: nn.Module, latents: Tensor) -> Tensor:
    """(n, 256) -> (n, C, H, W) pixels in [0, 1]; values outside are clamped."""
    return to_pixels(network(latents))


def uniform(count: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """(count, latent_dim) latents ~ U(-5, 5), on the device of `rng`."""
    z = torch.rand(count, latent_dim, generator=rng, device=rng.device)
    return (2 * z - 1) * REACH


def fit(
    generator: ProganGenerator,
    critic: ProganCritic,
    average: AveragedModel,
    data: LabelledInputs,
    recipe: ProganRecipe,
    rng: torch.Generator,
    progress: Progress,
    loop: Loop,
) -> list[dict[str, float]]:
    """Train all three in place and return the mean losses of every epoch."""
    device = rng.device
    opt_g = Adam(generator.parameters(), recipe.lr, recipe.betas, fused=True)
    opt_d = Adam(critic.parameters(), recipe.lr, recipe.betas, fused=True)
    lower = autocast_bfloat16(device, recipe.low_precision)
    steps = gan.steps_of(len(data), recipe.batch_size)
    stage_steps = steps * recipe.epochs
    total = stage_steps * len(STAGES)
    losses: list[dict[str, float]] = []
    state: dict[str, Any] = {
        "generator": generator, "critic": critic, "average": average,
        "opt_g": opt_g, "opt_d": opt_d, "rng": rng, "losses": losses,
    }  # fmt: skip
    for epoch in loop(lambda ended: ended < recipe.epochs * len(STAGES), **state):
        done = epoch * steps
        stage, fading = STAGES[epoch // recipe.epochs]
        sums = torch.zeros(3, device=device)
        for rows in gan.batches(len(data), recipe.batch_size, rng):
            alpha = (done % stage_steps + 1) / stage_steps if fading else 1.0

            def score(images: Tensor, stage: int = stage, alpha: float = alpha) -> Tensor:
                return critic(images, stage, alpha).float()

            real = shrunk(to_space(data.rows(rows, device)), stage, alpha)
            real = gan.channels_last(real)
            with lower:
                fake = generator(uniform(len(rows), LATENT_DIM, rng), stage, alpha).float()
                on_real, on_fake = score(real), score(fake.detach())
                penalty = gradient_penalty(score, real, fake.detach(), recipe.slope, rng)
            loss_d = on_fake.mean() - on_real.mean() + recipe.penalty * penalty
            loss_d = loss_d + recipe.drift * (on_real.square() + on_fake.square()).mean()
            gan.descend(loss_d, opt_d)
            with gan.frozen(critic), lower:
                loss_g = -score(fake).mean()
                gan.descend(loss_g, opt_g)
            average.update_parameters(generator)
            sums += torch.stack([loss_d.detach(), loss_g.detach(), penalty.detach()])
            done += 1
            if done % gan.REPORT_EVERY == 0 or done == total:
                progress("training steps", done, total)
        mean_d, mean_g, mean_p = (sums / steps).tolist()
        losses.append({
            "epoch": epoch + 1, "stage": stage, "fading": float(fading),
            "critic": mean_d, "generator": mean_g, "penalty": mean_p,
        })  # fmt: skip
    return losses


FAMILY = Family(
    train=train_progan, build=build_progan, decode=decode_progan, latent_dim=LATENT_DIM,
    latents=uniform,
)  # fmt: skip
