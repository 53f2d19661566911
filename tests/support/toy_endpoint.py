"""A model of small colour images behind a real server, and a victim that reaches the server."""

from collections.abc import Callable
from typing import Any

import torch
from tests.support.endpoint_servers import Server
from torch import Tensor

from clonecost.oracle import Oracle
from clonecost.victims import LoadedVictim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim

SHAPE, CLASSES = (3, 4, 5), 6


FAST = 1e6  # rows a second: no waiting where the pace is not what is tested


Start = Callable[..., Server]  # the fixture `start`
Counted = Callable[..., Oracle]  # the fixture `counted`


def scores_of(inputs: Tensor) -> Tensor:
    """(n, ...) -> (n, 6) probabilities; another order of the pixels gives others."""
    weight = torch.rand(60, CLASSES, generator=torch.Generator().manual_seed(0)) - 0.5
    return (inputs.flatten(1) @ weight).softmax(1)


def rows(count: int = 10) -> Tensor:
    """8-bit images, which every encoding but JPEG carries exactly."""
    rng = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, *SHAPE), generator=rng) / 255


def reach(server: Server, url: str = "", **how: Any) -> LoadedVictim:
    settings = {"batch_size": 4, "concurrency": 2, "timeout": 5.0, **how.pop("settings", {})}
    chosen = {"input_shape": SHAPE, "num_classes": CLASSES, "rate": FAST, **how}
    return endpoint_victim(url or server.model_url, settings=EndpointSettings(**settings), **chosen)
