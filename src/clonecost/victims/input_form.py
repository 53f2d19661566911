"""The form in which a model takes pixels: channel order, scale, normalisation, layout.

Everywhere else in clonecost, pixels are NCHW in [0, 1], in the order red, green, blue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Literal

from clonecost.errors import DropKey, SetKey, VictimError
from clonecost.types import Shape

if TYPE_CHECKING:  # the schema of a spec imports this module, and help texts need no torch
    from torch import Tensor

Layout = Literal["nchw", "nhwc"]
Pixels = Literal["0..1", "0..255"]
Channels = Literal["rgb", "bgr"]
# Sizes of one row's dimensions, as a file or a server states them; None: any size.
Sizes = Sequence[int | None]
Arrangement = Literal["nchw", "nhwc", "flat"]


@dataclass(frozen=True, kw_only=True)
class InputForm:
    """What the owner states about the model's input; the model itself states the rest.

    A pixel p in [0, 1] becomes (s p - mean) / std, with s = 1 or 255. Channels are put into the
    model's order first, and `mean` and `std` are in that order, too.

    Example:
        >>> form = InputForm(pixels="0..255", mean=(127.5,), std=(127.5,))
        >>> form.apply(torch.tensor([[[[0.0, 1.0]]]]), "nchw")
        tensor([[[[-1.,  1.]]]])
    """

    layout: Layout | None = None  # None: derived from the model's input shape
    pixels: Pixels = "0..1"
    channels: Channels = "rgb"
    mean: tuple[float, ...] = ()  # one value, or one a channel, on the scale of `pixels`; () is 0
    std: tuple[float, ...] = ()  # () is 1

    def check(self, channels: int) -> None:
        """Refuse an order, means and standard deviations that do not fit this number of channels.

        Raises:
            VictimError: their number is wrong, or a standard deviation is not positive.
        """
        if self.channels != "rgb" and channels != 3:
            raise VictimError(
                f"The order {self.channels} is one of 3 channels", DropKey("channels"),
                got=f"{channels} channel(s)",
            )  # fmt: skip
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) not in (1, channels):
                want = "1 value" if channels == 1 else f"1 or {channels}"
                raise VictimError(f"{name} has the wrong number of values for {channels} "
                                  "channel(s)", SetKey(name), got=len(values),
                                  want=want)  # fmt: skip
        if any(value <= 0 for value in self.std):
            raise VictimError("A standard deviation is not positive", SetKey("std"),
                              got=list(self.std), want="numbers above 0")  # fmt: skip

    def apply(self, inputs: "Tensor", arrangement: Arrangement) -> "Tensor":
        """(n, C, H, W) or (n, d) pixels in [0, 1] -> float32 in the model's form.

        With the arrangement `"nhwc"` images become (n, H, W, C); else the shape stays.
        """
        values = inputs.detach().float()
        if self.channels == "bgr" and values.ndim == 4:
            values = values.flip(1)
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
        """The order in which a model whose rows have these sizes takes inputs of `shape`.

        Args:
            sizes: the sizes that the model states for one row, without the batch; None: none.
            shape: (C, H, W) or (d,).
            where: the model, for the message.

        Raises:
            VictimError: no order fits, several fit and `layout` is None, or `layout` does not fit.
        """
        if sizes is None:
            return self.layout or "nchw"
        stated = ", ".join("any" if size is None else str(size) for size in sizes)
        if len(shape) != 3 or len(sizes) != 3:
            # one channel, or none: both orders are the same
            alike = len(shape) == len(sizes) and _fits(sizes, shape)
            known = [size for size in sizes if size is not None]
            grey = shape[0] == 1 and len(known) == len(sizes) and prod(known) == prod(shape)
            if alike or (len(shape) == 3 and grey):
                return "flat"
            raise VictimError(f"{where} takes rows of another shape than the audit's",
                              SetKey("shape"), got=shape, want=f"({stated})")  # fmt: skip
        orders: dict[Layout, Shape] = {"nchw": shape, "nhwc": (*shape[1:], shape[0])}
        fitting = [layout for layout, order in orders.items() if _fits(sizes, order)]
        if self.layout in fitting:
            return self.layout
        if self.layout is not None or not fitting:
            got = f"{shape} as {self.layout}" if self.layout else shape
            raise VictimError(f"{where} takes rows of another shape than the audit's",
                              SetKey("shape"), SetKey("layout"), got=got,
                              want=f"({stated})")  # fmt: skip
        if len(fitting) > 1:
            raise VictimError(
                f"The position of the channels does not follow from {where}, which takes rows of "
                f"shape ({stated})", SetKey("layout", "nchw"), SetKey("layout", "nhwc"),
            )  # fmt: skip
        return fitting[0]


def in_bytes(form: InputForm) -> InputForm:
    """The form for a model that takes bytes: their only range, unless a normalisation is stated."""
    return form if form.mean or form.std else replace(form, pixels="0..255")


def shaped(values: "Tensor", sizes: Sizes | None) -> "Tensor":
    """Images of one channel in the shape of a model without that dimension: (n, *sizes)."""
    if sizes is None or values.ndim == len(sizes) + 1:
        return values
    return values.reshape(len(values), *(size or -1 for size in sizes))


def _fits(sizes: Sizes, shape: Shape) -> bool:
    return all(size in (None, side) for size, side in zip(sizes, shape, strict=True))
