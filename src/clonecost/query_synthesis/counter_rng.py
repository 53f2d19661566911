"""Random numbers by counter: the n-th number of a stream is a function of the stream's key and n.

SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, https://doi.org/10.1145/2714064.2660195), all numbers
at once, in int64 tensors that wrap around. The draws of one search depend neither on other searches
nor on their order.
"""

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """The int64 with the bits of a 64-bit word."""
    return word - 2**64 if word >= 2**63 else word


GAMMA = _signed(0x9E3779B97F4A7C15)
MIX = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))
BITS = 23  # per uniform number: 2 u - 1 is then exact in float32 and never -1 or 1


def splitmix64(state: Tensor) -> Tensor:
    """The output function: int64 -> int64, a bijection in which every bit depends on all others."""
    state = (state ^ _shifted(state, 30)) * MIX[0]
    state = (state ^ _shifted(state, 27)) * MIX[1]
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, by: int) -> Tensor:
    """Logical shift to the right, which fills with zeros; int64's own shift fills with the sign."""
    return (state >> by) & ((1 << (64 - by)) - 1)


def stream_keys(seed: int, purpose: int, *counters: Tensor) -> Tensor:
    """One key for each tuple of counters: int64 tensors of one shape -> int64 of that shape.

    Args:
        seed: of the run.
        purpose: separates the streams of different uses, such as `evolution.PARENT`.
    """
    keys = torch.full_like(counters[0], seed)
    keys = splitmix64(keys + GAMMA) ^ purpose
    for counter in counters:
        keys = splitmix64(keys + GAMMA) ^ counter
    return splitmix64(keys + GAMMA)


def words(keys: Tensor, count: int) -> Tensor:
    """The first `count` words of each stream: (n,) -> (n, count) int64."""
    steps = torch.arange(1, count + 1, device=keys.device) * GAMMA
    return splitmix64(keys[:, None] + steps)


def symmetric(keys: Tensor, count: int) -> Tensor:
    """U(-1, 1), both ends excluded: (n,) -> (n, count) float32."""
    bits = _shifted(words(keys, count), 64 - BITS)
    return (2 * bits + 1 - 2**BITS).float() / 2**BITS


def normal(keys: Tensor, count: int) -> Tensor:
    """N(0, 1), by the inverse of its distribution function: (n,) -> (n, count) float32."""
    return symmetric(keys, count).erfinv() * 2**0.5


def below(keys: Tensor, bound: int) -> Tensor:
    """Uniform over 0 .. bound - 1, bound < 2^31: (n,) -> (n,) int64."""
    return _shifted(words(keys, 1)[:, 0], 32) * bound >> 32
