"""Training in bfloat16 where it is faster: GPUs and some CPUs compute it at twice the rate."""

import time
from functools import cache

import torch
from torch.nn import functional as F

REPEATS = 5
CLEARLY = 0.8  # a margin, so that a busy machine decides as an idle one does


def autocast_bfloat16(device: torch.device, requested: bool) -> torch.autocast:
    """A context that casts to bfloat16 if `requested` and faster on this device; else no effect."""
    enabled = requested and (device.type != "cpu" or bfloat16_is_faster())
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@cache
def bfloat16_is_faster() -> bool:
    """Whether this processor trains convolutions clearly faster in bfloat16, by measurement.

    Its instruction set is no evidence: some processors have bfloat16 and are slower with it.
    """
    x = torch.ones(64, 64, 16, 16).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, requires_grad=True)  # no random numbers
    fastest = {False: float("inf"), True: float("inf")}
    for _ in range(REPEATS):
        for enabled in fastest:
            start = time.perf_counter()
            with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                F.conv2d(x, weight).sum().backward()
            fastest[enabled] = min(fastest[enabled], time.perf_counter() - start)
    return fastest[True] < CLEARLY * fastest[False]
