"""The gradient penalty of WGAN-GP: Gulrajani et al., NeurIPS 2017, arXiv 1704.00028."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, slope: float,
    rng: torch.Generator,
) -> Tensor:  # fmt: skip
    """Mean of (|grad D(x')| - slope)^2; it has a gradient in the critic's parameters itself.

    x' = fake + e (real - fake), e ~ U(0, 1), one for each row.

    Args:
        critic: (n, C, H, W) -> (n,), no row's score depending on another row.
        real: (n, C, H, W).
        fake: the same shape; nothing is passed back into it.
        rng: on their device.
    """
    mix = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device)
    between = fake.lerp(real, mix).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    lengths = (slopes.flatten(1).square().sum(1) + 1e-12).sqrt()  # differentiable at 0, too
    return (lengths - slope).square().mean()
