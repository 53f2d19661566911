"""Every generator that is trained on proxy data, by name."""

from clonecost.generators.base import GeneratorCard, standard_normal
from clonecost.generators.vae import VaeRecipe, build_vae, decode_vae, train_vae
from clonecost.networks.vae import LATENT_DIM

GENERATORS: dict[str, GeneratorCard] = {
    "vae": GeneratorCard(
        summary="variational autoencoder of Black-Box Ripper, 256 latents ~ N(0, I), 5.8 M "
        "parameters",
        recipe=VaeRecipe(),
        train=train_vae,
        build=build_vae,
        decode=decode_vae,
        latent_dim=LATENT_DIM,
        latents=standard_normal,
    ),
}
