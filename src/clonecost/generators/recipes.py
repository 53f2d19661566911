"""The recipes of the generators: all settings of a training except data and seed.

This file imports no torch, unlike the files that train.
"""

from dataclasses import dataclass
from typing import Protocol


class Recipe(Protocol):
    """A frozen dataclass: with data and seed it determines the weights."""

    @property
    def epochs(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class VaeRecipe:
    """Settings of `vae.train_vae`."""

    epochs: int = 120
    batch_size: int = 64
    lr: float = 1e-3
    low_precision: bool = True  # bfloat16 in the training's convolutions, not in measurements
    width: int = 32  # channels of the widest maps
    latent_dim: int = 256


SMALL_VAE = VaeRecipe(epochs=15, width=16)  # one cycle of beta


@dataclass(frozen=True, kw_only=True)
class SnganRecipe:
    """Settings of `sngan.train_sngan`."""

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
    low_precision: bool = True  # bfloat16 in the training's convolutions, not in measurements


SMALL_SNGAN = SnganRecipe(
    epochs=12, generator_batch_size=64, critic_steps=2, width=48, critic_width=48
)  # about an hour of one core


@dataclass(frozen=True, kw_only=True)
class ProganRecipe:
    """Settings of `progan.train_progan`."""

    epochs: int = 400  # of each of the seven stages
    batch_size: int = 256
    lr: float = 1e-2
    betas: tuple[float, float] = (0.0, 0.99)
    drift: float = 0.005
    penalty: float = 10.0
    slope: float = 1.0  # the gradient's norm without a penalty
    ema: float = 0.999
    width: int = 32  # channels of the widest maps
    low_precision: bool = True  # bfloat16 in the training's convolutions, not in measurements


SMALL_PROGAN = ProganRecipe(epochs=2, batch_size=64, width=16)


@dataclass(frozen=True, kw_only=True)
class DcganRecipe:
    """Settings of `dcgan.train_dcgan`."""

    epochs: int = 200
    batch_size: int = 2048  # real and generated each
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.0  # of G's weights; 0: the last weights
    width: int = 64
    low_precision: bool = True  # bfloat16 in the training's convolutions, not in measurements


SMALL_DCGAN = DcganRecipe(epochs=30, batch_size=64, ema=0.999, width=32)
