"""An ensemble of networks that answers as one."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class SoftVote(nn.Module):
    """(n, *shape) pixels -> (n, K) logits: log of the mean of the members' softmax.

    The softmax of the logits is that mean. Weights are saved as `members.0.*`, `members.1.*` and so
    on; each part is the `state_dict` of one network.

    Example:
        >>> SoftVote([nn.Linear(2, 3), nn.Linear(2, 3)])(torch.rand(4, 2)).shape
        torch.Size([4, 3])
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor) -> Tensor:
        logs = torch.stack([member(inputs).log_softmax(1) for member in self.members])
        return logs.logsumexp(0) - math.log(len(self.members))
