"""Train in bfloat16 where that is faster: GPUs and some processors compute it at twice the rate."""

import time
from functools import cache

import torch
from torch.nn import functional as F

TURNS = 5
CLEARLY = 0.8  # so that the same machine decides alike, busy or not


def half(device: torch.device, wanted: bool) -> torch.autocast:
    """Autocast to bfloat16, if it is wanted and pays on this device; else it has no effect."""
    pays = wanted and (device.type != "cpu" or bfloat16_pays())
    return torch.autocast(device.type, torch.bfloat16, enabled=pays)


@cache
def bfloat16_pays() -> bool:
    """Whether this processor trains convolutions clearly faster in bfloat16: a short measurement.

    Its instructions do not tell: there are processors that have them and take longer with them.
    """
    x = torch.ones(64, 64, 16, 16).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, requires_grad=True)  # nothing is drawn for it
    least = {False: float("inf"), True: float("inf")}
    for _ in range(TURNS):
        for enabled in least:
            began = time.perf_counter()
            with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                F.conv2d(x, weight).sum().backward()
            least[enabled] = min(least[enabled], time.perf_counter() - began)
    return least[True] < CLEARLY * least[False]
