"""AlexNet and Half-AlexNet for small images: ZSKD (ICML 2019), DeGAN, Black-Box Ripper, DFMS.

A block is convolution, ReLU, LRN, pooling, then BatchNorm (eps 1e-3). The local response
normalisation is that of the PyTorch ports, over 2 channels (ZSKD: 5); the difference is negligible.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from clonecost.types import Shape

MIN_SIDE = 15  # leaves 3x3 for the third pooling
BN_EPS = 1e-3


class PairResponseNorm(nn.Module):
    """`nn.LocalResponseNorm(2)`: x_i / (1 + alpha * mean(x_i^2, x_(i-1)^2))^0.75, i a channel.

    Written out because torch's pools in three dimensions, a third of a training step of the whole
    network. Its gradient is written by hand, too (`_Normalised`).
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return cast(Tensor, _Normalised.apply(x))
        return x * _scale(x)[0]


ALPHA = 1e-4  # of the mean of two squares


def _scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """s^-0.75 and s^-0.5 of the bracket s, by square roots, which processors vectorise."""
    square = x * x
    s = (square * (ALPHA / 2)).add_(1)
    s[:, 1:].add_(square[:, :-1], alpha=ALPHA / 2)
    root = s.rsqrt_()
    return root.sqrt().mul_(root), root


class _Normalised(torch.autograd.Function):
    """`x * _scale(x)[0]` with a gradient by hand: autograd's takes more than twice the time."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        scale, root = _scale(x)
        ctx.save_for_backward(x, scale, root)
        return x * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """dL/dx_i = g_i s_i^-0.75 - 0.75 alpha x_i (t_i + t_(i+1)), t_i = g_i x_i s_i^-1.75."""
        x, scale, root = ctx.saved_tensors
        direct: Tensor = grad * scale
        t = (direct * x).mul_(root).mul_(root)
        both = t.clone()
        both[:, :-1].add_(t[:, 1:])
        return direct.addcmul_(both, x, value=-0.75 * ALPHA)


class AlexNet(nn.Module):
    """(n, C, H, W) -> (n, K) logits. 1,659,178 parameters for (3, 32, 32) and K = 10.

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        width: scales every layer: 64 is AlexNet, 32 is Half-AlexNet.
    """

    def __init__(self, input_shape: Shape, num_classes: int, width: int = 64) -> None:
        super().__init__()
        c, h, w = input_shape
        first, second, middle = 3 * width // 4, 2 * width, 3 * width
        self.features = nn.Sequential(
            *_conv(c, first, 5, bias=0), PairResponseNorm(), nn.MaxPool2d(3, 2), _bn(first),
            *_conv(first, second, 5, bias=1), PairResponseNorm(), nn.MaxPool2d(3, 2),
            _bn(second),
            *_conv(second, middle, 3, bias=0), _bn(middle),
            *_conv(middle, middle, 3, bias=1), _bn(middle),
            *_conv(middle, second, 3, bias=1), nn.MaxPool2d(3, 2), _bn(second),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(),
            *_dense(second * _side(h) * _side(w), 8 * width),
            *_dense(8 * width, 4 * width),
            _linear(4 * width, num_classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.features(inputs))


def half_alexnet(input_shape: Shape, num_classes: int) -> AlexNet:
    """AlexNet of half the width: 417,434 parameters for (3, 32, 32) and K = 10."""
    return AlexNet(input_shape, num_classes, width=32)


def _conv(inputs: int, outputs: int, kernel: int, *, bias: float) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    assert conv.bias is not None
    nn.init.constant_(conv.bias, bias)
    return conv, nn.ReLU()


def _dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        _linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(outputs, eps=BN_EPS),
    )  # fmt: skip


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.bias)
    return linear


def _bn(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS)


def _side(pixels: int) -> int:
    for _ in range(3):
        pixels = (pixels - 3) // 2 + 1
    return pixels
