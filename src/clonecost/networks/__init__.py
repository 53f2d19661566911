"""Networks of the papers: pixels in [0, 1] -> logits, and latents -> images. One family a file."""

from clonecost.networks.catalogue import NETWORKS, NetworkCard, build
from clonecost.networks.dfme_generator import GeneratorA, build_generator
from clonecost.networks.normalise import Normalise
from clonecost.networks.vae import Vae

__all__ = ["NETWORKS", "GeneratorA", "NetworkCard", "Normalise", "Vae", "build", "build_generator"]
