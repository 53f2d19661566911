"""Every map of every network of the house has the layout in which convolutions are fast."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from clonecost.networks import NETWORKS, build
from clonecost.networks.dcgan import DcganDiscriminator, DcganGenerator
from clonecost.networks.dfme_generator import build_generator
from clonecost.networks.maze import Conv3Generator
from clonecost.networks.progan import ProganCritic, ProganGenerator
from clonecost.networks.sngan import ProjectionDiscriminator, SnganGenerator
from clonecost.networks.vae import Decoder, Encoder

SHAPE = (3, 32, 32)
FROM_LATENTS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "GeneratorA": (lambda: build_generator(8, SHAPE, width=4), 8),
    "GeneratorA, bilinear": (lambda: build_generator(8, SHAPE, width=4, upsampling="bilinear"), 8),
    "Conv3Generator": (lambda: Conv3Generator(SHAPE, 8, width=4), 8),
    "SnganGenerator": (lambda: SnganGenerator(SHAPE, 8), 128),
    "DcganGenerator": (lambda: DcganGenerator(SHAPE, 4), 100),
    "ProganGenerator": (lambda: ProganGenerator(SHAPE, 4), 256),
    "Decoder": (lambda: Decoder(SHAPE, 8, 4), 8),
}
# without MAZE's critic: torch's instance norm hands on ordinary maps whatever it is given
FROM_IMAGES: dict[str, Callable[[], nn.Module]] = {
    "DcganDiscriminator": lambda: DcganDiscriminator(SHAPE, 4),
    "ProjectionDiscriminator": lambda: ProjectionDiscriminator(3, 8),
    "ProganCritic": lambda: ProganCritic(SHAPE, 4),
    "Encoder": lambda: Encoder(SHAPE, 8, 4),
}


def in_the_ordinary_layout(network: nn.Module, inputs: Tensor) -> list[str]:
    """The layers whose maps are in it, in a network that is laid out."""
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = []

    def look(name: str, maps: object) -> None:
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            return
        if not maps.is_contiguous(memory_format=torch.channels_last):
            found.append(name)

    for name, layer in network.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, maps, name=name: look(name, maps))
    with torch.no_grad():
        network(inputs)
    return found


@pytest.mark.parametrize("name", FROM_LATENTS)
def test_maps_of_a_generator_are_laid_out(name: str) -> None:
    make, latents = FROM_LATENTS[name]
    assert in_the_ordinary_layout(make(), torch.rand(2, latents)) == []


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_maps_of_a_critic_are_laid_out(name: str) -> None:
    images = torch.rand(2, *SHAPE).contiguous(memory_format=torch.channels_last)
    assert in_the_ordinary_layout(FROM_IMAGES[name](), images) == []


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_of_a_classifier_are_laid_out_whatever_its_images_are(name: str) -> None:
    assert in_the_ordinary_layout(build(name, SHAPE, 3), torch.rand(2, *SHAPE)) == []
