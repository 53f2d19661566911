"""DCGAN on proxy data: DeGAN's training without the terms that need the victim.

    L_D = E softplus(-D(x)) + E softplus(D(G(z)))    binary cross-entropy, D giving logits
    L_G = E softplus(-D(G(z)))                       z ~ N(0, I), one step of each in turn

Radford et al. 2016 (1511.06434); Addepalli et al. 2020 (1912.11960), whose further terms of L_G
need gradients of the victim and are left out. It sends no query.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim.swa_utils import AveragedModel

from clonecost.generators import gan_training as gan
from clonecost.generators.base import Family, TrainingResult, standard_normal
from clonecost.generators.recipes import DcganRecipe
from clonecost.networks.dcgan import LATENT_DIM, DcganDiscriminator, DcganGenerator
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.mixed_precision import autocast_bfloat16
from clonecost.training.optimisers import Adam
from clonecost.types import LabelledInputs, Progress, Shape


def train_dcgan(
    data: LabelledInputs,
    held_out: LabelledInputs,
    recipe: DcganRecipe,
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
        SpecError: H or W is not a multiple of 4.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        generator = build_dcgan(recipe, data.shape)
        critic = DcganDiscriminator(data.shape, recipe.width)
        gan.prepare(generator, device)
        gan.prepare(critic, device)
        average = gan.moving_average(generator, recipe.ema)
        rng = torch.Generator(device).manual_seed(seed)
        on_device = data.to(device)
        losses = fit(generator, critic, average, on_device, recipe, rng, progress, loop)
        size = min(recipe.batch_size, 256)
        draws = (standard_normal(size, LATENT_DIM, rng) for _ in range(gan.STATISTICS))
        network = gan.finalise(average, draws, device)
    shown = held_out.rows(slice(gan.SHOWN), device)
    return TrainingResult(network, losses, {}, {"held-out proxy images": shown})


def build_dcgan(recipe: DcganRecipe, shape: Shape, classes: int = 0) -> DcganGenerator:
    """The generator, untrained; see `DcganGenerator`. It has no classes."""
    return DcganGenerator(shape, recipe.width)


def decode_dcgan(network: nn.Module, latents: Tensor) -> Tensor:
    """(n, 100) -> (n, C, H, W) pixels in [0, 1]."""
    return to_pixels(network(latents))


def fit(
    generator: DcganGenerator,
    critic: DcganDiscriminator,
    average: AveragedModel,
    data: LabelledInputs,
    recipe: DcganRecipe,
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
    total = steps * recipe.epochs
    losses: list[dict[str, float]] = []
    state: dict[str, Any] = {
        "generator": generator, "critic": critic, "average": average,
        "opt_g": opt_g, "opt_d": opt_d, "rng": rng, "losses": losses,
    }  # fmt: skip
    for epoch in loop(lambda ended: ended < recipe.epochs, **state):
        done = epoch * steps
        sums = torch.zeros(2, device=device)
        for rows in gan.batches(len(data), recipe.batch_size, rng):
            real = gan.channels_last(to_space(data.rows(rows, device)))
            with lower:
                fake = generator(standard_normal(len(rows), LATENT_DIM, rng))
                # two passes: real and generated images have batch statistics of their own
                on_real, on_fake = critic(real).float(), critic(fake.detach()).float()
            loss_d = softplus(-on_real).mean() + softplus(on_fake).mean()
            gan.descend(loss_d, opt_d)
            with gan.frozen(critic), lower:
                loss_g = softplus(-critic(fake).float()).mean()
                gan.descend(loss_g, opt_g)
            average.update_parameters(generator)
            sums += torch.stack([loss_d.detach(), loss_g.detach()])
            done += 1
            if done % gan.REPORT_EVERY == 0 or done == total:
                progress("training steps", done, total)
        mean_d, mean_g = (sums / steps).tolist()
        losses.append({"epoch": epoch + 1, "critic": mean_d, "generator": mean_g})
    return losses


FAMILY = Family(
    train=train_dcgan, build=build_dcgan, decode=decode_dcgan, latent_dim=LATENT_DIM,
    latents=standard_normal,
)  # fmt: skip
