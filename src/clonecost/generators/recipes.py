"""The recipes of the generators: everything that determines their weights but data and seed.

They stand apart from the files that train by them, which import torch.
"""

from dataclasses import dataclass
from typing import Protocol


class Recipe(Protocol):
    """A frozen dataclass: everything that determines the weights, but for data and seed."""

    @property
    def epochs(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class VaeRecipe:
    epochs: int = 120
    batch_size: int = 64
    lr: float = 1e-3
    low_precision: bool = True  # bfloat16 in the convolutions while training, never in measuring
    width: int = 32  # channels of the widest maps
    latent_dim: int = 256


SMALL_VAE = VaeRecipe(epochs=15, width=16)  # one cycle of beta


@dataclass(frozen=True, kw_only=True)
class SnganRecipe:
    epochs: int = 356  # passes of D over 45,000 rows: 50,000 steps of G
    batch_size: int = 64  # of D, real and generated each
    generator_batch_size: int = 128
    critic_steps: int = 5  # steps of D for each of G
    lr: float = 2e-4  # of both, falling linearly to 0
    betas: tuple[float, float] = (0.0, 0.9)
    ema: float = 0.999
    width: int = 256  # of G
    critic_width: int = 128  # of D
    conditional: bool = False  # on the data's classes, with the projection discriminator
    low_precision: bool = True  # bfloat16 in convolutions while training, never in measuring


SMALL_SNGAN = SnganRecipe(
    epochs=12, generator_batch_size=64, critic_steps=2, width=48, critic_width=48
)  # an hour of one core, as far as an hour goes


@dataclass(frozen=True, kw_only=True)
class ProganRecipe:
    epochs: int = 400  # of each of the seven stages
    batch_size: int = 256
    lr: float = 1e-2
    betas: tuple[float, float] = (0.0, 0.99)
    drift: float = 0.005
    penalty: float = 10.0
    slope: float = 1.0  # that the penalty asks for
    ema: float = 0.999
    width: int = 32  # channels of the widest maps
    low_precision: bool = True  # bfloat16 in convolutions while training, never in measuring


SMALL_PROGAN = ProganRecipe(epochs=2, batch_size=64, width=16)


@dataclass(frozen=True, kw_only=True)
class DcganRecipe:
    epochs: int = 200
    batch_size: int = 2048  # real and generated each
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.0  # of G's weights; 0: what is kept is the last ones
    width: int = 64
    low_precision: bool = True  # bfloat16 in convolutions while training, never in measuring


SMALL_DCGAN = DcganRecipe(epochs=30, batch_size=64, ema=0.999, width=32)
