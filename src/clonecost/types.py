"""The types that all modules share: threat models, data sets, features. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:  # lists and `--help` need the types, not torch
    import torch
    from torch import Tensor

from clonecost.errors import DropKey, SetKey, SpecError

AnswerKind = Literal["label", "top_k", "probs"]
Shown = tuple[AnswerKind, int | None]  # how much an answer shows, and k of "top_k"
InputPrecision = Literal["float32", "float64", "uint8"]
# White box: the attacker also has the network; a reference, not an audit of an API.
Access = Literal["black-box", "white-box"]
Shape = tuple[int, ...]
Takes = Literal["images", "table", "text"]  # the kind of the rows that are sent
Compiled = Literal["no", "generator", "all"]  # which networks of an attack torch.compile speeds up
# The purpose of a query: an attack states it, and the query costs are split by it. Only answers to
# "training" queries are used for training directly.
Purpose = Literal["training", "gradients", "search", "validation"]

# The report of a long step: (its name, parts done, parts in all).
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

    A category is sent as its index in `categories`: 0, 1, 2, ...

    Raises:
        ValueError: `low` is not below `high`, or one of them is not finite, or there is only one
            category.

    Example:
        >>> Feature(name="colour", categories=("red", "green", "blue")).high
        2.0
    """

    name: str
    low: float = -1.0
    high: float = 1.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.categories) == 1:
            raise ValueError(f"the feature {self.name!r} needs two categories or more, and has one")
        if self.categories:
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", float(len(self.categories) - 1))
        if not -math.inf < self.low < self.high < math.inf:  # also catches nan
            raise ValueError(
                f"the feature {self.name!r} has the range {self.low:g} to {self.high:g}, "
                "but needs two finite numbers, the smaller one first"
            )


@dataclass(frozen=True, kw_only=True)
class PredictionApi:
    """The inputs that a prediction API takes, and how much its answers show.

    Raises:
        SpecError: the fields contradict each other.
    """

    # (C, H, W) or (d,) pixels in [0, 1], (d,) values of `features`, or (bytes,) of a text
    input_shape: Shape
    num_classes: int  # K, at least 2
    answers: AnswerKind = "probs"
    top_k: int | None = None  # how many classes a "top_k" answer names: 1 to K - 1
    # a real image API takes 8 bits, and a model of a table may compute with the digits of float64
    input_precision: InputPrecision = "float32"
    features: tuple[Feature, ...] | None = None  # for a table, in order; None: pixels
    incomplete: bool = False  # for a table: rows with missing values (NaN) are answered, too
    # several labels a row: K is 2 L, the L labels as present and then as absent, and an answer
    # gives each label 1 / L of the whole (`clonecost.networks.per_label`)
    multi_label: bool = False
    text: bool = False  # a row is a string, see `clonecost.data.text_rows`

    @property
    def takes(self) -> Takes:
        """The kind of the rows."""
        return "text" if self.text else "images" if self.features is None else "table"

    def __post_init__(self) -> None:
        check_choice("answers", self.answers, get_args(AnswerKind))
        check_choice("input_precision", self.input_precision, get_args(InputPrecision))
        if not self.input_shape or min(self.input_shape) < 1:
            raise SpecError(
                "The input shape is not one of positive sizes",
                SetKey("shape"), got=self.input_shape, want="(C, H, W) or (d,)",
            )  # fmt: skip
        if self.num_classes < 2:
            raise SpecError(
                "A classifier has at least two classes", SetKey("classes"), got=self.num_classes
            )
        if self.answers == "top_k":
            check_top_k("top_k", self.top_k, self.num_classes)
        elif self.top_k is not None:
            raise SpecError(
                f"top_k needs answers of kind 'top_k', and the answers are {self.answers!r}",
                got=f"top_k={self.top_k}", want="None",
            )  # fmt: skip
        self._check_kind()
        if self.multi_label and (self.num_classes % 2 or self.answers == "top_k"):
            raise SpecError(
                "A multi-label model has 2 L classes, its labels as present and as absent, and "
                "answers with the probabilities of all labels or with the labels alone",
                got=f"{self.num_classes} classes, answers {self.answers}",
            )  # fmt: skip

    def _check_kind(self) -> None:
        """Refuse settings of one kind of rows for an API of another kind."""
        if self.text:
            self._check_text()
        if self.features is None:
            if self.input_precision == "float64":
                raise SpecError("float64 inputs are rows of a table, and this API takes images",
                                DropKey("input_precision"))  # fmt: skip
            if self.incomplete:
                raise SpecError(f"incomplete is for rows of a table, and this API takes "
                                f"{self.takes}", DropKey("incomplete"))  # fmt: skip
            return
        if self.input_shape != (len(self.features),):
            raise SpecError(
                f"The shape of a table's rows is the number of its features, {len(self.features)}",
                got=self.input_shape, want=f"({len(self.features)},)",
            )  # fmt: skip
        if self.input_precision == "uint8":
            raise SpecError("8-bit inputs are pixels, and rows of a table are float32",
                            DropKey("input_precision"))  # fmt: skip

    def _check_text(self) -> None:
        if self.features is not None:
            raise SpecError("An API of texts has no columns of a table", DropKey("features"))
        if self.input_precision != "float32":
            raise SpecError("input_precision is of pixels, and this API takes text",
                            DropKey("input_precision"))  # fmt: skip
        if len(self.input_shape) != 1:
            raise SpecError(
                "The shape of a text is the number of bytes that the longest one takes",
                DropKey("shape"), got=self.input_shape, want="(bytes,)",
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ThreatModel(PredictionApi):
    """The threat model: what the attacker knows, sees and may spend.

    Raises:
        SpecError: the fields contradict each other, or the budget allows no query.

    Example:
        >>> threat = ThreatModel(input_shape=(1, 28, 28), num_classes=10, query_budget=1_000)
        >>> threat.answers
        'probs'
    """

    query_budget: int  # in rows, not batches; may be 0 in a white box
    access: Access = "black-box"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("access", self.access, get_args(Access))
        check_budget(self.query_budget, self.access)


def check_budget(budget: int, access: Access) -> None:
    """Refuse a query budget below 1; a white-box reference may have 0.

    Raises:
        SpecError: the budget is too small.
    """
    least = 0 if access == "white-box" else 1
    if budget < least:
        raise SpecError(
            f"The query budget of a {access.replace('-', ' ')} is too small",
            SetKey("budget"), got=budget, want=f"at least {least}",
        )  # fmt: skip


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        SpecError: the value is none of them.
    """
    if value not in choices:
        raise SpecError(
            f"Unknown value of {key}", SetKey(key), got=repr(value), want=" or ".join(choices)
        )


def narrower(stated: Shown, shown: Shown | None) -> Shown:
    """The one of both that shows less: an answer cannot show more than the victim gives.

    Args:
        shown: by the victim; None: unknown.

    Example:
        >>> narrower(("probs", None), ("top_k", 3)), narrower(("label", None), ("top_k", 3))
        (('top_k', 3), ('label', None))
    """
    if shown is None:
        return stated
    return min(stated, shown, key=lambda one: (richness(one[0]), one[1] or 0))


def richness(answers: AnswerKind) -> int:
    """How much a kind of answers shows: 0 (labels) to 2 (all probabilities).

    Example:
        >>> richness("top_k")
        1
    """
    return get_args(AnswerKind).index(answers)


def check_top_k(key: str, k: int | None, num_classes: int) -> None:
    """Refuse a number of classes that no top-k answer has; an answer of all K classes is "probs".

    Args:
        key: the setting that `k` comes from.
        k: the number of classes in an answer.
        num_classes: K.

    Raises:
        SpecError: `k` is not from 1 to K - 1.
    """
    if k is None or not 1 <= k < num_classes:
        raise SpecError(
            f"{key} is out of range for {num_classes} classes",
            got=repr(k), want=f"1 to {num_classes - 1}",
        )  # fmt: skip


class Rows(Protocol):
    """Rows that are read by their places: a tensor, or rows that are made when asked for."""

    @property
    def shape(self) -> Shape:
        """(n, *shape)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor | slice, /) -> Tensor: ...


class ProxyData(Protocol):
    """The attacker's own data: `LabelledInputs`, or rows that are made when they are asked for."""

    @property
    def inputs(self) -> Rows:
        """(n, *shape), uint8 pixels 0..255 or float32 in [0, 1], on the CPU by their places."""
        ...

    @property
    def labels(self) -> Tensor: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def name(self) -> str: ...

    @property
    def features(self) -> tuple[Feature, ...] | None: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def rows(self, index: Tensor | slice, device: torch.device | str = "cpu") -> Tensor:
        """The rows at `index` as float32 on `device`, shape (len(index), *shape)."""
        ...

    def take(self, index: Tensor | slice) -> LabelledInputs:
        """The rows at `index` as a data set in memory."""
        ...

    def to(self, device: torch.device | str) -> LabelledInputs:
        """All rows, in the memory of `device`."""
        ...


@dataclass(frozen=True)
class LabelledInputs:
    """A data set in memory.

    `inputs` is (n, *shape): uint8 pixels 0..255 (a quarter of the memory), or float32 in [0, 1];
    for a table (n, d) float32, unscaled; for texts (n, bytes) uint8. `labels` is (n,) int64.
    `rows` takes a batch, always as float32.

    Example:
        >>> import torch
        >>> images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
        >>> data = LabelledInputs(images, torch.tensor([0, 1]), name="mine")
        >>> data.rows(slice(0, 1)).shape, data.shape
        (torch.Size([1, 1, 8, 8]), (1, 8, 8))
    """

    inputs: Tensor
    labels: Tensor
    classes: tuple[str, ...] = ()  # names of the labels; empty when the data set has none
    name: str = ""
    features: tuple[Feature, ...] | None = None  # the columns of a table; None: pixels, or text
    text: bool = False  # rows are texts, as `clonecost.data.text_rows.encode` makes them

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of rows, labels and class names, whose file may change between two runs."""
        digest = hashlib.blake2b(self.inputs.cpu().contiguous().numpy().data, digest_size=16)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        digest.update(json.dumps(self.classes).encode())
        return digest.hexdigest()

    @property
    def shape(self) -> Shape:
        return tuple(self.inputs.shape[1:])

    @property
    def labelled(self) -> bool:
        """Whether every row has a label; rows without one have the label -1."""
        return len(self.labels) > 0 and int(self.labels.min()) >= 0

    def rows(self, index: Tensor | slice, device: torch.device | str = "cpu") -> Tensor:
        """The rows at `index` as float32 on `device`, shape (len(index), *shape)."""
        return as_pixels(self.inputs[index].to(device))

    def to(self, device: torch.device | str) -> LabelledInputs:
        """The same data on `device`."""
        return replace(self, inputs=self.inputs.to(device), labels=self.labels.to(device))

    def take(self, index: Tensor | slice) -> LabelledInputs:
        """The data set of the rows at `index`."""
        return replace(self, inputs=self.inputs[index], labels=self.labels[index])


def answered(answers: Tensor) -> Tensor:
    """(n,) bool: whether a row of (n, K) answers is one; a refused row's answer is all zeros.

    Example:
        >>> import torch
        >>> answered(torch.tensor([[0.9, 0.1], [0.0, 0.0]]))
        tensor([ True, False])
    """
    return answers.any(1)


def as_pixels(inputs: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [0, 1]; float32 is returned unchanged.

    Division, not multiplication by 1/255: k/255 must be the nearest float so that 8-bit inputs are
    recognised exactly when they are written to the ledger.
    """
    import torch

    return inputs.float().div_(255) if inputs.dtype == torch.uint8 else inputs


def as_bytes(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the nearest uint8 0..255, as in an image file."""
    import torch

    return pixels.mul(255).round().to(torch.uint8)
