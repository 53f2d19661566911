"""Wide ResNet 22-2, the clone of MAZE (CVPR 2021): pre-activation (Zagoruyko et al., 2016)."""

from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.types import Shape

MIN_SIDE = 8
SIDE = 32  # MAZE enlarges its 28x28 inputs to 32x32


class PreActivationBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions; `stride` divides the sides."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )  # fmt: skip
        self.shortcut = (
            nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None
        )

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        # a convolutional shortcut starts after the activation, the identity before it
        return self.body(active) + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """(n, C, H, W) -> (n, K) logits. 1,079,642 parameters for (3, 32, 32) and K = 10.

    Three groups of three blocks, 32, 64 and 128 channels wide. Inputs smaller than 32x32 are
    enlarged to 32x32 (bilinear). Convolutions start with N(0, 2 / (k^2 * outputs)).
    """

    def __init__(self, input_shape: Shape, num_classes: int) -> None:
        super().__init__()
        c, *sides = input_shape
        self.enlarge = min(sides) < SIDE
        self.features = nn.Sequential(
            nn.Conv2d(c, 16, 3, padding=1, bias=False),
            *_group(16, 32, stride=1),
            *_group(32, 64, stride=2),
            *_group(64, 128, stride=2),
            nn.BatchNorm2d(128), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Linear(128, num_classes)
        nn.init.zeros_(self.classifier.bias)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        if self.enlarge:
            inputs = F.interpolate(inputs, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return self.classifier(self.features(inputs).mean((2, 3)))


def _group(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    rest = [PreActivationBlock(outputs, outputs, 1) for _ in range(2)]
    return [PreActivationBlock(inputs, outputs, stride), *rest]
