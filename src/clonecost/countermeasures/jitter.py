"""Jitter: slightly altered copies of each row are sent, and the answers are averaged."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from clonecost.countermeasures._combining import GIVES, Kind, combined, must_be_kind
from clonecost.countermeasures.base import (
    Declaration,
    Known,
    View,
    at_least_two_copies,
    out_of_range,
)
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.tensor_codec import row_digests
from clonecost.query_synthesis import counter_rng
from clonecost.types import Feature, ThreatModel

Change = Literal["pixels", "shift"]
# (rows (n, ...), one number for each, number of the copy) -> (n, ...) altered rows
Altered = Callable[[Tensor, Tensor, int], Tensor]
GREY = 1 / 255  # one step of an 8-bit pixel


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Send each row and `repeats` - 1 slightly altered copies of it, and combine the answers.

    For defences that tie their noise or their wrong labels to the row: a copy that differs by 1/255
    in some pixels gets a fresh draw, while the victim's own answer hardly moves. The copies are a
    function of the row, so that a run that is resumed sends the same ones. Every copy is a query.

    Raises:
        SpecError: a setting is out of range.

    Example:
        >>> Jitter(repeats=5, kind="vote").view(oracle, known)(rows)  # doctest: +SKIP
        tensor([[0., 1., 0.]])
    """

    repeats: int = 5  # m, the row itself and m - 1 altered copies
    # mean; log: mean of logarithms; vote: the most frequent top class, which undoes flipped labels
    kind: Kind = "mean"
    # pixels: some of them by 1/255; shift: the image by one pixel in one of eight directions.
    # The numbers of a table always move by a thousandth of their range.
    change: Change = "pixels"
    share: float = 0.1  # share of the pixels, or of a table's numbers, that change

    declares: ClassVar = Declaration(alters=True)

    def __post_init__(self) -> None:
        at_least_two_copies(self, self.repeats)
        must_be_kind(self.kind)
        if self.change not in get_args(Change):
            raise out_of_range(self, "change", " or ".join(get_args(Change)))
        if not 0 < self.share <= 1:
            raise out_of_range(self, "share", "above 0 to 1")
        if self.change == "shift" and self.repeats > 9:
            raise out_of_range(self, "repeats", "2 to 9, since there are eight directions")

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        if self.change == "shift" and (threat.features or len(threat.input_shape) != 3):
            return SpecError(
                "jitter can shift images only, and the victim takes other rows",
                SetKey("counter", "jitter"), got=threat.input_shape, want="images (C, H, W)",
            )  # fmt: skip
        if threat.features and all(one.categories for one in threat.features):
            return SpecError(
                "jitter changes numbers, and all features of this victim are categories",
                SetKey("counter", "label_only"),
            )
        return None

    def view(self, oracle: Oracle, known: Known) -> View:
        threat = oracle.threat
        altered: Altered
        if threat.features is not None:
            altered = partial(_moved, share=self.share, features=threat.features)
        elif self.change == "shift":
            altered = _shifted
        else:
            altered = partial(_one_grey_level, share=self.share)

        def copies(inputs: Tensor, repeats: int) -> Tensor:
            keys = _keys(inputs)
            others = [altered(inputs, keys, copy) for copy in range(1, repeats)]
            return torch.stack([inputs, *others], 1)

        return View(
            oracle, repeats=self.repeats, gives=GIVES[self.kind], copies=copies,
            made=combined(self.kind), altered=True,
        )  # fmt: skip


def _keys(inputs: Tensor) -> Tensor:
    """One number for each row, a function of its values alone: (n, ...) -> (n,) int64 on the CPU.

    The ledger's digest of a row has 16 bytes, of which these are the first eight.
    """
    digests = torch.frombuffer(bytearray(row_digests(inputs)), dtype=torch.int64)
    return digests.view(len(inputs), -1)[:, 0]


def _chosen(inputs: Tensor, keys: Tensor, copy: int, share: float, may: Tensor) -> Tensor:
    """(n, d) in {-1, 0, 1}: which values of this copy change, and in which direction.

    Args:
        may: bool, broadcast to (n, d): the values that can change, of which at least one does.
    """
    streams = counter_rng.stream_keys(copy, 0, keys)
    u = counter_rng.symmetric(streams, prod(inputs.shape[1:])).to(inputs.device)
    size = u.abs().masked_fill(~may, torch.inf)
    first = size.argmin(1, keepdim=True)
    return u.sign() * (size <= size.gather(1, first).clamp_min(share)) * may


def _one_grey_level(inputs: Tensor, keys: Tensor, copy: int, *, share: float) -> Tensor:
    """Some pixels one grey level up or down; those at an end of the range move inwards."""
    flat = inputs.reshape(len(inputs), -1)
    moves = _chosen(inputs, keys, copy, share, torch.ones_like(flat, dtype=torch.bool)) * GREY
    moved = flat + moves
    inside = torch.where((moved < 0) | (moved > 1), flat - moves, moved)
    return inside.clamp(0, 1).view_as(inputs)


def _moved(
    rows: Tensor, keys: Tensor, copy: int, *, share: float, features: tuple[Feature, ...]
) -> Tensor:
    """Some numbers by a thousandth of their range; categories stay."""
    low = rows.new_tensor([one.low for one in features])
    high = rows.new_tensor([one.high for one in features])
    number = torch.tensor([not one.categories for one in features], device=rows.device)
    may = number & ~rows.isnan()
    moves = _chosen(rows, keys, copy, share, may) * (high - low) / 1_000
    moved = rows + moves
    inside = torch.where((moved < low) | (moved > high), rows - moves, moved)
    return inside.minimum(high).maximum(low)  # NaN, a missing value, stays


def _shifted(inputs: Tensor, keys: Tensor, copy: int) -> Tensor:
    """The image by one pixel in the direction of this copy; the edge repeats."""
    places = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    dy, dx = places[(copy - 1) % len(places)]
    padded = torch.nn.functional.pad(inputs, (1, 1, 1, 1), mode="replicate")
    height, width = inputs.shape[2:]
    return padded[:, :, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
