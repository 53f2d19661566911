"""A ResNet's tensors under the names of published checkpoints: the inverse of `resnet_names`."""

import re

from torch import Tensor

_PARTS = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2"}


def published_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    def name(ours: str) -> str:
        ours = ours.replace("classifier.", "linear.")
        ours = ours.replace("stem.0.", "conv1.").replace("stem.1.", "bn1.")
        ours = re.sub(r"^stages\.(\d)", lambda found: f"layer{int(found[1]) + 1}", ours)
        return re.sub(r"body\.(\d)", lambda found: _PARTS[found[1]], ours)

    return {name(one): value for one, value in tensors.items()}
