"""Every generator that is trained on proxy data, by name."""

from dataclasses import replace

from clonecost.generators import dcgan, progan, sngan, vae
from clonecost.generators.base import GeneratorCard, standard_normal
from clonecost.networks.dcgan import LATENT_DIM as DCGAN_LATENTS
from clonecost.networks.progan import LATENT_DIM as PROGAN_LATENTS
from clonecost.networks.sngan import LATENT_DIM as SNGAN_LATENTS
from clonecost.networks.vae import LATENT_DIM as VAE_LATENTS


def _vae(recipe: vae.VaeRecipe, summary: str) -> GeneratorCard:
    return GeneratorCard(
        summary=summary, recipe=recipe, train=vae.train_vae, build=vae.build_vae,
        decode=vae.decode_vae, latent_dim=VAE_LATENTS, latents=standard_normal,
    )  # fmt: skip


def _sngan(recipe: sngan.SnganRecipe, summary: str) -> GeneratorCard:
    return GeneratorCard(
        summary=summary, recipe=recipe, train=sngan.train_sngan, build=sngan.build_sngan,
        decode=sngan.decode_sngan, latent_dim=SNGAN_LATENTS, latents=standard_normal,
        conditional=recipe.conditional,
    )  # fmt: skip


def _progan(recipe: progan.ProganRecipe, summary: str) -> GeneratorCard:
    return GeneratorCard(
        summary=summary, recipe=recipe, train=progan.train_progan, build=progan.build_progan,
        decode=progan.decode_progan, latent_dim=PROGAN_LATENTS, latents=progan.uniform,
    )  # fmt: skip


def _dcgan(recipe: dcgan.DcganRecipe, summary: str) -> GeneratorCard:
    return GeneratorCard(
        summary=summary, recipe=recipe, train=dcgan.train_dcgan, build=dcgan.build_dcgan,
        decode=dcgan.decode_dcgan, latent_dim=DCGAN_LATENTS, latents=standard_normal,
    )  # fmt: skip


GENERATORS: dict[str, GeneratorCard] = {
    "vae": _vae(
        vae.VaeRecipe(),
        "variational autoencoder of Black-Box Ripper, 256 latents ~ N(0, I), 5.8 M parameters",
    ),
    "vae-small": _vae(vae.SMALL, "as vae, half as wide, one cycle of beta: for two cores"),
    "sngan": _sngan(
        sngan.SnganRecipe(),
        "GAN with spectral norm of Black-Box Ripper, 128 latents ~ N(0, I), 4.3 M parameters",
    ),
    "sngan-small": _sngan(
        sngan.SMALL, "as sngan, 48 instead of 256 wide, 12 epochs: for two cores"
    ),
    "sngan-projection": _sngan(
        replace(sngan.SnganRecipe(), conditional=True),
        "as sngan, conditional on the proxy's own classes by a projection discriminator",
    ),
    "sngan-projection-small": _sngan(
        replace(sngan.SMALL, conditional=True), "as sngan-small, conditional on the proxy's classes"
    ),
    "progan": _progan(
        progan.ProganRecipe(),
        "growing GAN of Black-Box Ripper, 256 latents ~ U(-5, 5), 2.2 M parameters",
    ),
    "progan-small": _progan(
        progan.SMALL, "as progan, half as wide, 2 epochs a stage: for two cores"
    ),
    "dcgan": _dcgan(
        dcgan.DcganRecipe(),
        "GAN of DeGAN and DFMS, 100 latents ~ N(0, I), 3.6 M parameters",
    ),
    "dcgan-small": _dcgan(dcgan.SMALL, "as dcgan, half as wide, 30 epochs: for two cores"),
}
