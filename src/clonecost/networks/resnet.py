"""ResNets for small images: the 18-8x and 34-8x of DFAD, DFME and DisGUIDE; ResNet-20 and -8.

"8x" is the total downsampling (32x32 to 4x4), not the width. ResNet-20 has the three narrow stages
of He et al. (2016), section 4.2. All shortcuts that change the shape are 1x1 convolutions with
BatchNorm: the paper's option B, 272,474 parameters. He et al. use the parameter-free option A for
ResNet-20, 269,722 parameters.
"""

from itertools import pairwise

from torch import Tensor, nn

from clonecost.types import Shape

MIN_SIDE = 8


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm beside a shortcut; `stride` divides the sides."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


class ResNet(nn.Module):
    """(n, C, H, W) -> (n, K) logits.

    Stage i has `blocks[i]` blocks of `widths[i]` channels; every stage but the first halves the
    sides. Convolutions start with Kaiming's normal (fan out), BatchNorm with 1 and 0.
    """

    def __init__(
        self, input_shape: Shape, num_classes: int, widths: tuple[int, ...], blocks: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        stages = zip(pairwise((widths[0], *widths)), blocks, strict=True)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    BasicBlock(before, width, 1 if number == 0 else 2),
                    *(BasicBlock(width, width, 1) for _ in range(count - 1)),
                )
                for number, ((before, width), count) in enumerate(stages)
            )
        )
        self.classifier = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.stages(self.stem(inputs)).mean((2, 3)))


def resnet18_8x(input_shape: Shape, num_classes: int) -> ResNet:
    """ResNet-18: 11,173,962 parameters for (3, 32, 32) and K = 10."""
    return ResNet(input_shape, num_classes, (64, 128, 256, 512), (2, 2, 2, 2))


def resnet34_8x(input_shape: Shape, num_classes: int) -> ResNet:
    """ResNet-34: 21,282,122 parameters for (3, 32, 32) and K = 10."""
    return ResNet(input_shape, num_classes, (64, 128, 256, 512), (3, 4, 6, 3))


def resnet20(input_shape: Shape, num_classes: int) -> ResNet:
    """ResNet-20: 272,474 parameters for (3, 32, 32) and K = 10."""
    return ResNet(input_shape, num_classes, (16, 32, 64), (3, 3, 3))


def resnet8(input_shape: Shape, num_classes: int) -> ResNet:
    """ResNet-20 with one block a stage: 78,042 parameters for (3, 32, 32) and K = 10."""
    return ResNet(input_shape, num_classes, (16, 32, 64), (1, 1, 1))
