"""The shared vocabulary: every other module may import this one, which does not import torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # lists and `--help` need the words, not torch
    import torch
    from torch import Tensor

AnswerKind = Literal["label", "top_k", "probs"]
InputPrecision = Literal["float32", "uint8"]
# White box: the attacker also holds the network. No audit of an API, a reference beside it.
Access = Literal["black-box", "white-box"]
Shape = tuple[int, ...]
Compiled = Literal["no", "generator", "all"]  # which networks of an attack torch.compile speeds up
# What a question is for: an attack says it at the door, and the bill is split by it. Only answers
# of "training" teach a clone directly.
Purpose = Literal["training", "gradients", "search", "validation"]

# How a long step tells how far it is: (what is being done, done so far, of how many).
Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore progress: the default of everything that reports it."""


class Victim(Protocol):
    """The classifier under audit: local or remote, defended or not."""

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """(n, *input_shape) float32 -> (n, K) probabilities (rows sum to 1).

        Inputs are pixels in [0, 1], or values of a table's features.
        """
        ...


# A defence holds a victim and is a victim; see `clonecost.defences`.
Defence = Callable[[Victim], Victim]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of a table: a number between `low` and `high`, or one of `categories`.

    A category is sent as its place in `categories`: 0, 1, 2, ...

    Raises:
        ValueError: `low` is not below `high`, or one of them is not finite, or there is only one
            category.
    """

    name: str
    low: float = -1.0
    high: float = 1.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.categories) == 1:
            raise ValueError(f"the feature {self.name!r} has one category: it can say nothing")
        if self.categories:
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", float(len(self.categories) - 1))
        if not -math.inf < self.low < self.high < math.inf:  # also catches nan
            raise ValueError(
                f"the feature {self.name!r} reaches from {self.low:g} to {self.high:g}: "
                "want two numbers, the smaller one first"
            )


@dataclass(frozen=True, kw_only=True)
class ThreatModel:
    """What the attacker knows, sees and may spend: page one of every report."""

    input_shape: Shape  # (C, H, W) pixels in [0, 1], or (d,) values of `features`
    num_classes: int  # K
    query_budget: int  # in rows, not batches; may be 0 in a white box
    answers: AnswerKind = "probs"
    top_k: int | None = None  # how many classes a "top_k" answer names
    input_precision: InputPrecision = "float32"  # a real image API takes 8 bits
    access: Access = "black-box"
    features: tuple[Feature, ...] | None = None  # of a table, in order; None: pixels
    incomplete: bool = False  # of a table: rows with missing values (NaN) are answered, too


@dataclass(frozen=True)
class LabelledInputs:
    """A data set in memory.

    `inputs` is (n, *shape): uint8 pixels 0..255 (a quarter of the memory), or float32 in [0, 1];
    of a table (n, d) float32, as they are. `labels` is (n,) int64. Take batches with `rows`, which
    always gives float32.
    """

    inputs: Tensor
    labels: Tensor
    classes: tuple[str, ...] = ()  # names of the labels; empty when the data set has none
    name: str = ""
    features: tuple[Feature, ...] | None = None  # the columns of a table; None: pixels

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def shape(self) -> Shape:
        return tuple(self.inputs.shape[1:])

    def rows(self, index: Tensor | slice, device: torch.device | str = "cpu") -> Tensor:
        """The rows at `index` as float32 on `device`, shape (len(index), *shape)."""
        return as_pixels(self.inputs[index].to(device))

    def to(self, device: torch.device | str) -> LabelledInputs:
        """The same data on `device`."""
        return replace(self, inputs=self.inputs.to(device), labels=self.labels.to(device))

    def take(self, index: Tensor | slice) -> LabelledInputs:
        """The data set cut down to `index`."""
        return replace(self, inputs=self.inputs[index], labels=self.labels[index])


def as_pixels(inputs: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [0, 1]; float32 passes unchanged.

    Division, not multiplication by 1/255: k/255 must be the nearest float so that 8-bit inputs are
    recognised exactly when they are written to the ledger.
    """
    import torch

    return inputs.float().div_(255) if inputs.dtype == torch.uint8 else inputs


def as_bytes(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the nearest uint8 0..255: what an image file would hold."""
    import torch

    return pixels.mul(255).round().to(torch.uint8)
