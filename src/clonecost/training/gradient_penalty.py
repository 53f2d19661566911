"""The gradient penalty of WGAN-GP: Gulrajani et al., NeurIPS 2017, arXiv 1704.00028, section 4."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, slope: float,
    rng: torch.Generator,
) -> Tensor:  # fmt: skip
    """Mean of (|grad D(x')| - slope)^2, a scalar, differentiable in the critic's parameters.

    x' = fake + e (real - fake), with one e ~ U(0, 1) for each row.

    Args:
        critic: (n, C, H, W) -> (n,); a row's score must not depend on other rows.
        real: (n, C, H, W) images of the data.
        fake: (n, C, H, W) generated images; no gradient reaches them.
        slope: the norm of the gradient that costs nothing, 1 in the paper.
        rng: draws e, on the images' device.
    """
    mix = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device)
    between = fake.lerp(real, mix).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    lengths = (slopes.flatten(1).square().sum(1) + 1e-12).sqrt()  # differentiable at 0, too
    return (lengths - slope).square().mean()
