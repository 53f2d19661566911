"""The generators trained on proxy data, by name. Listing the names imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Literal, cast

from clonecost.generators.recipes import (
    SMALL_DCGAN,
    SMALL_PROGAN,
    SMALL_SNGAN,
    SMALL_VAE,
    DcganRecipe,
    ProganRecipe,
    Recipe,
    SnganRecipe,
    VaeRecipe,
)

if TYPE_CHECKING:
    from clonecost.generators.base import Family


@dataclass(frozen=True, kw_only=True)
class GeneratorCard:
    """A generator of the catalogue."""

    summary: str  # one line for listings
    recipe: Recipe
    file: Literal["vae", "sngan", "progan", "dcgan"]  # the module of its family
    conditional: bool = False  # also uses the proxy's labels

    @property
    def family(self) -> Family:
        """The functions that train, build and decode this kind of generator."""
        return cast("Family", import_module(f"clonecost.generators.{self.file}").FAMILY)


def _card(
    file: Literal["vae", "sngan", "progan", "dcgan"], recipe: Recipe, summary: str
) -> GeneratorCard:
    conditional = isinstance(recipe, SnganRecipe) and recipe.conditional
    return GeneratorCard(summary=summary, recipe=recipe, file=file, conditional=conditional)


GENERATORS: dict[str, GeneratorCard] = {
    "vae": _card(
        "vae",
        VaeRecipe(),
        "variational autoencoder of Black-Box Ripper, 256 latents ~ N(0, I), 5.8 M parameters",
    ),
    "vae-small": _card("vae", SMALL_VAE, "as vae, half as wide, one cycle of beta: for two cores"),
    "sngan": _card(
        "sngan",
        SnganRecipe(),
        "GAN with spectral norm of Black-Box Ripper, 128 latents ~ N(0, I), 4.3 M parameters",
    ),
    "sngan-small": _card(
        "sngan", SMALL_SNGAN, "as sngan, 48 instead of 256 wide, 12 epochs: for two cores"
    ),
    "sngan-projection": _card(
        "sngan",
        replace(SnganRecipe(), conditional=True),
        "as sngan, conditional on the proxy's own classes by a projection discriminator",
    ),
    "sngan-projection-small": _card(
        "sngan",
        replace(SMALL_SNGAN, conditional=True),
        "as sngan-small, conditional on the proxy's classes",
    ),
    "progan": _card(
        "progan",
        ProganRecipe(),
        "growing GAN of Black-Box Ripper, 256 latents ~ U(-5, 5), 2.2 M parameters",
    ),
    "progan-small": _card(
        "progan", SMALL_PROGAN, "as progan, half as wide, 2 epochs a stage: for two cores"
    ),
    "dcgan": _card(
        "dcgan",
        DcganRecipe(),
        "GAN of DeGAN and DFMS, 100 latents ~ N(0, I), 3.6 M parameters",
    ),
    "dcgan-small": _card("dcgan", SMALL_DCGAN, "as dcgan, half as wide, 30 epochs: for two cores"),
}
