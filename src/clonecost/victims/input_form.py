"""How a model wants its pixels: scale, normalisation, layout. The public form is NCHW in [0, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

from clonecost.errors import VictimError
from clonecost.types import Shape

if TYPE_CHECKING:  # the schema of a spec imports this module, and --help does not wait for torch
    from torch import Tensor

Layout = Literal["nchw", "nhwc"]
Pixels = Literal["0..1", "0..255"]
# Of one row, as a file or a server tells them; None where any size will do.
Sizes = Sequence[int | None]
Arrangement = Literal["nchw", "nhwc", "flat"]


@dataclass(frozen=True, kw_only=True)
class InputForm:
    """What the owner says of the model's input; the rest is read off the model.

    A pixel p in [0, 1] becomes (s p - mean) / std, with s = 1 or 255.
    """

    layout: Layout | None = None  # None: as the model's own shape says
    pixels: Pixels = "0..1"
    mean: tuple[float, ...] = ()  # a channel each, on the scale of `pixels`; () is 0
    std: tuple[float, ...] = ()  # () is 1

    def check(self, channels: int) -> None:
        """Refuse means and deviations that no input of so many channels can have.

        Raises:
            VictimError: their number is wrong, or a deviation is not positive.
        """
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) not in (1, channels):
                raise VictimError(
                    f"{name} has {len(values)} values for {channels} channel(s): give one or "
                    f"{channels}"
                )
        if any(value <= 0 for value in self.std):
            raise VictimError(f"std = {list(self.std)}: a deviation is above 0")

    def apply(self, inputs: "Tensor", arrangement: Arrangement) -> "Tensor":
        """(n, C, H, W) or (n, d) pixels in [0, 1] -> float32 as the model wants them."""
        values = inputs.detach().float()
        if self.pixels == "0..255":
            values = values * 255
        per_channel = (-1, *[1] * (inputs.ndim - 2))
        if self.mean:
            values = values - values.new_tensor(self.mean).view(per_channel)
        if self.std:
            values = values / values.new_tensor(self.std).view(per_channel)
        if arrangement == "nhwc" and values.ndim == 4:
            values = values.permute(0, 2, 3, 1)
        return values.contiguous()

    def arrangement(self, sizes: Sizes | None, shape: Shape, where: str) -> Arrangement:
        """In which order a model whose rows have these sizes takes inputs of `shape`.

        Args:
            sizes: what the model says of one row, without the batch; None: it says nothing.
            shape: (C, H, W) or (d,).
            where: the model, for the message.

        Raises:
            VictimError: no order fits, more than one does and `layout` does not tell, or the one
                that is asked for does not fit.
        """
        if sizes is None:
            return self.layout or "nchw"
        wanted = ", ".join("any" if size is None else str(size) for size in sizes)
        if len(shape) != 3 or len(sizes) != 3:
            # one channel, or none: reading row by row cannot mix anything up
            alike = len(shape) == len(sizes) and _fits(sizes, shape)
            known = [size for size in sizes if size is not None]
            grey = shape[0] == 1 and len(known) == len(sizes) and prod(known) == prod(shape)
            if alike or (len(shape) == 3 and grey):
                return "flat"
            raise VictimError(
                f"{where} takes rows of shape ({wanted}), the audit has {shape}: give the right "
                "one with --shape"
            )
        orders: dict[Layout, Shape] = {"nchw": shape, "nhwc": (*shape[1:], shape[0])}
        fitting = [layout for layout, order in orders.items() if _fits(sizes, order)]
        if self.layout in fitting:
            return self.layout
        if self.layout is not None or not fitting:
            asked = f" as {self.layout}" if self.layout else ""
            raise VictimError(
                f"{where} takes rows of shape ({wanted}), which {shape}{asked} does not fit: give "
                "the right --shape (channels, height, width) or --layout"
            )
        if len(fitting) > 1:
            raise VictimError(
                f"{where} takes rows of shape ({wanted}), which leaves open where the channels "
                "stand: say --layout nchw or --layout nhwc"
            )
        return fitting[0]


def shaped(values: "Tensor", sizes: Sizes | None) -> "Tensor":
    """Rows of one channel as a model without that dimension takes them: (n, *sizes)."""
    if sizes is None or values.ndim == len(sizes) + 1:
        return values
    return values.reshape(len(values), *(size or -1 for size in sizes))


def _fits(sizes: Sizes, shape: Shape) -> bool:
    return all(size in (None, wanted) for size, wanted in zip(sizes, shape, strict=True))
