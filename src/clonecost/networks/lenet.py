"""LeNet and Half-LeNet of DeGAN (AAAI 2020) and Black-Box Ripper (NeurIPS 2020).

Half-LeNet halves the channels of the convolutions only, not the fully connected layers.
"""

from torch import Tensor, nn

from clonecost.types import Shape

MIN_SIDE = 16  # leaves 2x2 for the second pooling


class LeNet(nn.Module):
    """(n, C, H, W) -> (n, K) logits. 61,706 parameters for (1, 32, 32) and K = 10."""

    def __init__(
        self, input_shape: Shape, num_classes: int, channels: tuple[int, int] = (6, 16)
    ) -> None:
        super().__init__()
        c, h, w = input_shape
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(c, first, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(second * _side(h) * _side(w), 120), nn.ReLU(),
            nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, num_classes),
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.features(inputs))


def half_lenet(input_shape: Shape, num_classes: int) -> LeNet:
    """LeNet with half the channels: 35,820 parameters for (1, 32, 32) and K = 10."""
    return LeNet(input_shape, num_classes, channels=(3, 8))


def _side(pixels: int) -> int:
    return ((pixels - 4) // 2 - 4) // 2
