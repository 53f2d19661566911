"""DFME's loop as it is usually written: what our iteration is compared with, not part of the tool.

Written from the published algorithm and the known habits of its scripts, constants as ours:

    G step:   one direction after the other, S and V on B images each time, then on the base points
    S steps:  s times: G on fresh latents, its graph kept, then detached; V on B; S and SGD's step

in PyTorch's ordinary layout (N, C, H, W) with optimisers as they come; G doubles its maps, then
convolves them. The victim is the bare
module: no oracle, no ledger, no digests, no count. That flatters this side by what they cost.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.stage import CLASSES, Scene
from clonecost.attacks.dfme import Dfme
from clonecost.networks import Normalise, build, build_generator
from clonecost.networks.upsample_conv import EnlargingConv2d


def plain_loop(scene: Scene, attack: Dfme) -> Callable[[], None]:
    """One iteration a call: B (g (m + 1) + s) images shown to the victim."""
    torch.manual_seed(0)
    victim, student = (
        ordinary(build(name, scene.shape, CLASSES)) for name in (scene.victim, scene.student)
    )
    generator = ordinary(
        build_generator(attack.latent_dim, scene.shape, width=attack.generator_width)
    )
    student_opt = torch.optim.SGD(
        student.parameters(), lr=attack.student_lr, momentum=0.9, weight_decay=5e-4
    )
    generator_opt = torch.optim.Adam(generator.parameters(), lr=attack.generator_lr)
    victim.eval()
    size, step, m = attack.batch_size, attack.step, attack.directions

    def target(images: Tensor) -> Tensor:
        with torch.no_grad():
            log = victim(images).log_softmax(1)
        return log - log.mean(1, keepdim=True)

    def disagreement(raw: Tensor) -> Tensor:
        images = (raw.tanh() + 1) / 2
        return (student(images) - target(images)).abs().mean(1)

    def gradient(raw: Tensor) -> Tensor:
        directions, values = [], []
        for _ in range(m):
            u = torch.randn_like(raw)
            u = u / u.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            directions.append(u)
            values.append(disagreement(raw + step * u))
        base = disagreement(raw)
        slopes = [(value - base) / step for value in values]
        total = sum(s.view(-1, 1, 1, 1) * u for s, u in zip(slopes, directions, strict=True))
        return cast(Tensor, total) * raw[0].numel() / m

    def iteration() -> None:
        student.eval()
        for _ in range(attack.generator_steps):
            raw = generator(torch.randn(size, attack.latent_dim))
            with torch.no_grad():
                upstream = gradient(raw) / (CLASSES * size)
            generator_opt.zero_grad()
            raw.backward(-upstream)
            generator_opt.step()
        student.train()
        for _ in range(attack.student_steps):
            images = ((generator(torch.randn(size, attack.latent_dim)).tanh() + 1) / 2).detach()
            loss = (student(images) - target(images)).abs().mean()
            student_opt.zero_grad()
            loss.backward()
            student_opt.step()

    return iteration


class PlainNormalise(nn.Module):
    """As ours, without its change of layout."""

    mean: Tensor
    std: Tensor

    def __init__(self, ours: Normalise) -> None:
        super().__init__()
        self.register_buffer("mean", ours.mean)
        self.register_buffer("std", ours.std)

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs - self.mean) / self.std


def doubled(ours: EnlargingConv2d) -> nn.Module:
    """As ours, by an enlarged map."""
    plain = nn.Conv2d(ours.in_channels, ours.out_channels, 3, padding=1)
    plain.load_state_dict(ours.state_dict())
    return nn.Sequential(nn.Upsample(scale_factor=2), plain)


def ordinary(network: nn.Module) -> nn.Module:
    """The network in the layout that PyTorch makes, of the layers that papers name."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Normalise):
                setattr(module, name, PlainNormalise(child))
            elif isinstance(child, EnlargingConv2d):
                setattr(module, name, doubled(child))
    return network
