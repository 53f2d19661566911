"""The checks of an attack's rows before they are sent."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clonecost.data.text_rows import must_be_texts
from clonecost.errors import Advice, QueryError
from clonecost.tabular.features import check_rows
from clonecost.types import ThreatModel


def check_form(threat: ThreatModel, inputs: Tensor) -> None:
    """Shape and dtype of rows, and the values of a table's rows and of texts; not of pixels.

    Raises:
        QueryError: the threat model allows no such rows.
    """
    shape = threat.input_shape
    if inputs.ndim != len(shape) + 1 or tuple(inputs.shape[1:]) != shape or len(inputs) == 0:
        raise QueryError(
            "The inputs have the wrong shape",
            Advice("reshape them to the threat model's `input_shape`"),
            got=tuple(inputs.shape), want=f"(n, {', '.join(map(str, shape))}) with n > 0",
        )  # fmt: skip
    exact = threat.input_precision == "float64" and inputs.dtype == torch.float64
    if inputs.dtype != torch.float32 and not exact:
        raise QueryError(
            "The inputs have the wrong dtype", Advice("convert them with `inputs.float()`"),
            got=inputs.dtype, want=torch.float32,
        )  # fmt: skip
    if threat.features is not None:
        check_rows(threat.features, inputs, incomplete=threat.incomplete)
    elif threat.text:
        must_be_texts(inputs)


def pixel_range(threat: ThreatModel, inputs: Tensor) -> Tensor:
    """(2,) the lowest and highest pixel, on the device of the inputs; 0 and 1 for other rows."""
    if threat.features is not None or threat.text:
        return torch.arange(2.0, device=inputs.device)
    # four times as fast as aminmax, channels-last
    return torch.stack([inputs.amin(), inputs.amax()])


def judge_pixels(lowest_highest: Sequence[float], *, sent: bool) -> None:
    """Refuse pixels outside of [0, 1], by their `pixel_range`.

    Args:
        sent: the rows were asked before they were judged; the sentence says so.

    Raises:
        QueryError: NaN, or a pixel outside of [0, 1].
    """
    low, high = lowest_highest
    if low >= 0 and high <= 1:  # false for nan
        return
    fate = "the rows were sent and count as lost" if sent else "nothing was sent"
    if low != low or high != high:
        raise QueryError(
            f"The attack's networks diverged; {fate}",
            Advice("lower the attack's learning rates"),
            got="NaN", want="pixels in [0, 1]",
        )  # fmt: skip
    raise QueryError(
        "The inputs are out of range" + ("; " + fate if sent else ""),
        Advice("scale them to [0, 1]"),
        got=f"[{low:.3g}, {high:.3g}]", want="pixels in [0, 1]",
    )  # fmt: skip
