"""AlexNet and Half-AlexNet for small images: ZSKD (ICML 2019), DeGAN, Black-Box Ripper, DFMS.

A block is convolution, ReLU, LRN, pooling and only then BatchNorm (eps 1e-3). The local response
normalisation is that of the PyTorch ports, which look at 2 channels (ZSKD: 5); the effect is tiny.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.types import Shape

MIN_SIDE = 15  # the third pooling then still sees 3x3
BN_EPS = 1e-3


class PairResponseNorm(nn.Module):
    """`nn.LocalResponseNorm(2)`: x / (1 + alpha * mean(x^2 of this channel and the previous))^0.75.

    Written out because torch pools in three dimensions for it, which took a third of a training
    step of the whole network; this takes less than half of that.
    """

    alpha = 1e-4

    def forward(self, x: Tensor) -> Tensor:
        square = x * x
        pair = square + F.pad(square[:, :-1], (0, 0, 0, 0, 1, 0))
        return x * (1 + pair * (self.alpha / 2)).pow(-0.75)


class AlexNet(nn.Module):
    """(n, C, H, W) -> (n, K) logits. 1,659,178 parameters for (3, 32, 32) and K = 10."""

    def __init__(self, input_shape: Shape, num_classes: int, width: int = 64) -> None:
        """`width` scales every layer: 64 is AlexNet, 32 is Half-AlexNet."""
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
    """417,434 parameters for (3, 32, 32) and K = 10."""
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
