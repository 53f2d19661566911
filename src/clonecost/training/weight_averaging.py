"""Exponential moving averages of a network's weights, and the choice of the best one."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from clonecost.types import as_pixels

CHUNK = 1024  # rows per forward pass


class WeightAverages:
    """a <- d a + (1 - d) w after every step, for each decay d; also batch norm's statistics.

    Args:
        network: the source of the weights w; the averages start at its present weights.
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
        """The state of the averages; the network's own weights are saved by its owner."""
        return {"averages": [average.state_dict() for average in self._averages]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.load_state_dict(saved)

    def networks(self) -> list[nn.Module]:
        """Copies in eval mode: the network as it is, then each average in the order of `decays`."""
        networks = [self._network, *(average.module for average in self._averages)]
        return [deepcopy(network).eval() for network in networks]

    def best(self, inputs: Tensor, answers: Tensor) -> nn.Module:
        """The copy with the highest `per_class_agreement`; the first one on a tie.

        Args:
            inputs: (n, C, H, W) uint8 or pixels in [0, 1], paid for as validation rows.
            answers: (n, K), the victim's answers.
        """
        copies = self.networks()
        scores = [per_class_agreement(copy, inputs, answers) for copy in copies]
        return copies[int(torch.stack(scores).argmax())]


@torch.no_grad()
def per_class_agreement(network: nn.Module, inputs: Tensor, answers: Tensor) -> Tensor:
    """Agreement with the victim per class, averaged over the classes that it predicts: a scalar.

    Rare classes count as much as frequent ones: generators make some classes far more often.

    Args:
        network: pixels in [0, 1] -> (n, K) logits; its mode is not changed.
        inputs: (n, C, H, W) uint8 or pixels in [0, 1].
        answers: (n, K), the victim's answers.
    """
    labels = answers.argmax(1)
    parts = [network(as_pixels(part)).argmax(1) for part in inputs.split(CHUNK)]
    rows = labels.bincount(minlength=answers.shape[1])
    agreed = labels[torch.cat(parts) == labels].bincount(minlength=answers.shape[1])
    return (agreed / rows.clamp_min(1)).sum() / (rows > 0).sum()
