"""SNGAN on proxy data: hinge loss, spectral norm, an average of G's weights.

    L_D = E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z), y))    several steps per step of G
    L_G = -E D(G(z), y)                                       z ~ N(0, I), y as in the data

Miyato et al. 2018 (1802.05957, 1802.05637); networks in `clonecost.networks.sngan`. The authors of
Black-Box Ripper do not publish their training: constants are those of AutoGAN's SNGAN (width of D,
rates, steps of D). The result is the moving average of G's weights, with batch norm statistics
computed anew from latents. It sends no query.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from clonecost.errors import Advice, SetKey, SpecError
from clonecost.generators import gan_training as gan
from clonecost.generators.base import Family, TrainingResult, standard_normal
from clonecost.generators.recipes import SnganRecipe
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.networks.sngan import (
    LATENT_DIM,
    ProjectionDiscriminator,
    SnganGenerator,
    one_hot_latents,
)
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.mixed_precision import autocast_bfloat16
from clonecost.training.optimisers import Adam
from clonecost.types import LabelledInputs, Progress, Shape


def train_sngan(
    data: LabelledInputs,
    held_out: LabelledInputs,
    recipe: SnganRecipe,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    loop: Loop = plain,
) -> TrainingResult:
    """Train on `data`, (n, C, H, W), with its labels only if the recipe is conditional.

    The same seed gives the same weights on the same machine with the same number of threads; the
    global random state does not change. Losses are means over an epoch's steps.

    Raises:
        SpecError: H or W is not a multiple of 8, or a conditional recipe has fewer than 2 classes.
    """
    classes = count_classes(data) if recipe.conditional else 0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        generator = build_sngan(recipe, data.shape, classes)
        critic = ProjectionDiscriminator(data.shape[0], recipe.critic_width, classes)
        gan.prepare(generator, device)
        gan.prepare(critic, device)
        average = gan.moving_average(generator, recipe.ema)
        rng = torch.Generator(device).manual_seed(seed)
        on_device = data.to(device)
        losses = fit(generator, critic, average, on_device, recipe, rng, progress, loop)
        draws = (
            draw_latents(recipe.generator_batch_size, data, classes, rng)[0]
            for _ in range(gan.STATISTICS)
        )
        network = gan.finalise(average, draws, device)
    shown = held_out.rows(slice(gan.SHOWN), device)
    return TrainingResult(network, losses, {}, {"held-out proxy images": shown}, classes)


def count_classes(data: LabelledInputs) -> int:
    """The number of classes of the proxy data.

    Raises:
        SpecError: there are fewer than two classes.
    """
    count = max(len(data.classes), int(data.labels.max()) + 1)
    if int(data.labels.min()) < 0 or count < 2:
        raise SpecError(
            f"{data.name or 'The proxy'} has no classes to condition on", SetKey("proxy"),
            Advice("train a generator without classes, such as sngan"),
        )  # fmt: skip
    return count


def build_sngan(recipe: SnganRecipe, shape: Shape, classes: int = 0) -> SnganGenerator:
    """The generator, untrained; see `SnganGenerator`."""
    return SnganGenerator(shape, recipe.width, classes)


def decode_sngan(network: nn.Module, latents: Tensor) -> Tensor:
    """(n, 128 + classes) -> (n, C, H, W) pixels in [0, 1]."""
    return to_pixels(network(latents))


def draw_latents(
    count: int, data: LabelledInputs, classes: int, rng: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Latents, and their (count,) labels as frequent as in the data; None without classes."""
    z = torch.randn(count, LATENT_DIM, generator=rng, device=rng.device)
    if not classes:
        return z, None
    rows = torch.randint(len(data), (count,), generator=rng, device=rng.device)
    labels = data.labels.to(rng.device)[rows]
    return one_hot_latents(z, labels, classes), labels


def hinge(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """The critic's loss L_D from its scores, (n,) each: a scalar."""
    return (1 - on_real).relu().mean() + (1 + on_fake).relu().mean()


def fit(
    generator: SnganGenerator,
    critic: ProjectionDiscriminator,
    average: AveragedModel,
    data: LabelledInputs,
    recipe: SnganRecipe,
    rng: torch.Generator,
    progress: Progress,
    loop: Loop,
) -> list[dict[str, float]]:
    """Train all three in place and return the mean losses of every epoch."""
    device, classes = rng.device, generator.classes
    opt_g = Adam(generator.parameters(), recipe.lr, recipe.betas, fused=True)
    opt_d = Adam(critic.parameters(), recipe.lr, recipe.betas, fused=True)
    steps = gan.steps_of(len(data), recipe.batch_size)
    total = steps * recipe.epochs
    fall_g = LambdaLR(opt_g, lambda past: 1 - past / max(1, total // recipe.critic_steps))
    fall_d = LambdaLR(opt_d, lambda past: 1 - past / total)
    lower = autocast_bfloat16(device, recipe.low_precision)
    losses: list[dict[str, float]] = []
    state: dict[str, Any] = {
        "generator": generator, "critic": critic, "average": average,
        "opt_g": opt_g, "opt_d": opt_d, "fall_g": fall_g, "fall_d": fall_d,
        "rng": rng, "losses": losses,
    }  # fmt: skip
    for epoch in loop(lambda ended: ended < recipe.epochs, **state):
        done = epoch * steps
        sums = torch.zeros(2, device=device)
        for rows in gan.batches(len(data), recipe.batch_size, rng):
            # D step
            z, drawn = draw_latents(len(rows), data, classes, rng)
            with lower:
                with torch.no_grad():
                    fake = generator(z).float()
                both = gan.channels_last(torch.cat([to_space(data.rows(rows, device)), fake]))
                labels = None if drawn is None else torch.cat([data.labels[rows], drawn])
                # one pass over both, so that a step of D makes one step of the power iteration
                scores = critic(both, labels).float()
            loss_d = hinge(*scores.split(len(rows)))
            gan.descend(loss_d, opt_d)
            fall_d.step()
            sums[0] += loss_d.detach()
            done += 1

            if done % recipe.critic_steps == 0:  # G step
                z, drawn = draw_latents(recipe.generator_batch_size, data, classes, rng)
                with gan.frozen(critic), lower:
                    loss_g = -critic(generator(z), drawn).float().mean()
                    gan.descend(loss_g, opt_g)
                fall_g.step()
                average.update_parameters(generator)
                sums[1] += loss_g.detach()
            if done % gan.REPORT_EVERY == 0 or done == total:
                progress("training steps", done, total)
        mean_d, mean_g = (sums.cpu() / torch.tensor([steps, steps / recipe.critic_steps])).tolist()
        losses.append({"epoch": epoch + 1, "critic": mean_d, "generator": mean_g})
    return losses


FAMILY = Family(
    train=train_sngan, build=build_sngan, decode=decode_sngan, latent_dim=LATENT_DIM,
    latents=standard_normal,
)  # fmt: skip
