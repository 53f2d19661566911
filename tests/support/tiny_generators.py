"""Generator settings that train in a second, and rows to train on."""

import torch

from clonecost.types import LabelledInputs

TINY: dict[str, dict[str, object]] = {
    "vae": {"width": 2},
    "sngan": {"width": 4, "critic_width": 4, "batch_size": 16, "generator_batch_size": 16},
    "progan": {"width": 2, "batch_size": 16},
    "dcgan": {"width": 2, "batch_size": 16},
}


def noise() -> LabelledInputs:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (40, 3, 16, 16), generator=rng, dtype=torch.uint8)
    return LabelledInputs(pixels, torch.arange(40) % 3, name="noise")
