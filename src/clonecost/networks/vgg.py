"""VGG-16 with BatchNorm, as the Fashion-MNIST victim of Black-Box Ripper (NeurIPS 2020)."""

from torch import Tensor, nn

from clonecost.types import Shape

MIN_SIDE = 16  # four poolings leave one pixel
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg16(nn.Module):
    """(n, C, H, W) -> (n, K) logits. 14,728,266 parameters for C = 3 and K = 10.

    Each stage ends in 2x2 pooling, the last one only from 32 pixels on. The remaining positions are
    averaged; at 32x32 that is one pixel, as in the original.
    """

    def __init__(self, input_shape: Shape, num_classes: int) -> None:
        super().__init__()
        channels, *sides = input_shape
        layers: list[nn.Module] = []
        for number, widths in enumerate(STAGES, start=1):
            for width in widths:
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                ]  # fmt: skip
                channels = width
            if min(sides) >= 2**number:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(channels, num_classes))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.features(inputs).mean((2, 3)))
