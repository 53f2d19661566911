"""Tensor names of published ResNets for small images, and ours.

Most published checkpoints call the parts conv1, bn1, layer1.0.conv1 ... linear. Only the names
differ: the layers of `networks/resnet.py` are the same.
"""

import re

from torch import Tensor

# ours: stages.STAGE.BLOCK.body holds convolution, BatchNorm, ReLU, convolution, BatchNorm
_PARTS = {"conv1": "body.0", "bn1": "body.1", "conv2": "body.3", "bn2": "body.4"}
_WHOLE = {"conv1": "stem.0", "bn1": "stem.1", "linear": "classifier", "fc": "classifier"}
_BLOCK = re.compile(r"layer([1-9])\.(\d+)\.(\w+)\.(.+)")


def ours(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of `ResNet`; a name that is not known stays as it is.

    Example:
        >>> import torch
        >>> list(ours({"layer2.0.bn1.weight": torch.ones(1), "linear.bias": torch.ones(1)}))
        ['stages.1.0.body.1.weight', 'classifier.bias']
    """
    return {_our_name(name.removeprefix("module.")): value for name, value in tensors.items()}


def _our_name(name: str) -> str:
    if block := _BLOCK.fullmatch(name):
        stage, number, part, rest = block.groups()
        return f"stages.{int(stage) - 1}.{number}.{_PARTS.get(part, part)}.{rest}"
    part, *rest = name.split(".")
    return ".".join([_WHOLE.get(part, part), *rest])
