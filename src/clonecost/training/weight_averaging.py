"""Moving averages of a network's weights, several at once, and the choice between them."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from clonecost.types import as_pixels

CHUNK = 1024  # rows judged at once


class WeightAverages:
    """a <- d a + (1 - d) w after every step, for each decay d; batch norm's statistics, too.

    Args:
        network: whose weights w are averaged; the averages begin at what they are now.
        decays: each in [0, 1).
    """

    def __init__(self, network: nn.Module, decays: Sequence[float]) -> None:
        self._network = network
        self._averages = [
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
            for decay in decays
        ]
        self.update()  # torch's first update copies

    def update(self) -> None:
        """Take one step into account."""
        for average in self._averages:
            average.update_parameters(self._network)

    def state_dict(self) -> dict[str, Any]:
        """Of the averages; the network itself is its owner's."""
        return {"averages": [average.state_dict() for average in self._averages]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for average, held in zip(self._averages, state["averages"], strict=True):
            average.load_state_dict(held)

    def networks(self) -> list[nn.Module]:
        """Copies in eval mode: of the network as it is, then of each average in its order."""
        now = [self._network, *(average.module for average in self._averages)]
        return [deepcopy(network).eval() for network in now]

    def best(self, inputs: Tensor, answers: Tensor) -> nn.Module:
        """The copy with the highest `per_class_agreement` there; the first of equals.

        Args:
            inputs: (n, C, H, W) uint8 or pixels in [0, 1] that were bought for this.
            answers: (n, K), the victim's.
        """
        copies = self.networks()
        scores = [per_class_agreement(copy, inputs, answers) for copy in copies]
        return copies[int(torch.stack(scores).argmax())]


@torch.no_grad()
def per_class_agreement(network: nn.Module, inputs: Tensor, answers: Tensor) -> Tensor:
    """Share of rows named as the victim does, averaged over the classes that it names: a scalar.

    Rare classes count as much as common ones: generators make some classes far more often.
    """
    named = answers.argmax(1)
    parts = [network(as_pixels(part)).argmax(1) for part in inputs.split(CHUNK)]
    rows = named.bincount(minlength=answers.shape[1])
    agreed = named[torch.cat(parts) == named].bincount(minlength=answers.shape[1])
    return (agreed / rows.clamp_min(1)).sum() / (rows > 0).sum()
