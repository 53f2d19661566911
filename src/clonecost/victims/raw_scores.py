"""What a model hands back -> one tensor of scores: tensors, arrays, lists, tuples, named fields."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clonecost.errors import Advice, SetKey, VictimError

# the names of scores among several fields, the first one wins
SCORES = ("logits", "probs", "probabilities", "scores", "output", "outputs", "predictions", "out")


@dataclass(frozen=True)
class Wanted:
    """What tells the scores from the other parts of an output.

    Example:
        >>> raw_scores((torch.zeros(2, 3), torch.zeros(2, 64)), 2, Wanted(columns=3)).shape
        torch.Size([2, 3])
    """

    name: str | None = None  # of the field, as the owner states it
    columns: int | None = None  # the number of classes, if it is known


ANY = Wanted()


def raw_scores(output: object, rows: int, wanted: Wanted = ANY) -> Tensor:
    """The scores of `rows` inputs in a model's output: (rows, columns), in the model's own type.

    The output is a tensor, an array, nested lists of numbers, or a tuple, list, mapping, dataclass
    or named tuple that holds one of these. A field that the owner names goes first, then a field
    `logits` (or another name in `SCORES`), then the only one that fits, or fits the number of
    classes. (rows,) becomes (rows, 1); trailing dimensions of size 1 are dropped.

    Raises:
        VictimError: there are no scores in it, or several that nothing tells apart.

    Example:
        >>> raw_scores({"logits": torch.zeros(2, 3), "loss": torch.tensor(0.1)}, 2).shape
        torch.Size([2, 3])
    """
    scores = _find(output, rows, wanted)
    while scores.ndim > 2 and scores.shape[-1] == 1:  # a pooled image of one pixel
        scores = scores[..., 0]
    if scores.ndim == 0 and rows == 1:
        scores = scores.view(1)
    if scores.ndim == 1 and len(scores) == rows:
        scores = scores[:, None]
    if scores.ndim != 2 or len(scores) != rows or scores.shape[1] == 0:
        raise VictimError(
            "The victim's model returned the wrong shape", got=tuple(scores.shape),
            want=f"({rows}, K) for {rows} inputs",
        )  # fmt: skip
    return scores


def _find(output: object, rows: int, wanted: Wanted) -> Tensor:
    if (tensor := _as_tensor(output)) is not None:
        return tensor
    named = _named(output, wanted)
    if wanted.name is not None:
        tensor = _as_tensor((named or {}).get(wanted.name))
        if tensor is None:
            raise VictimError(
                "The victim's model returned nothing by the name of the output", SetKey("output"),
                got=", ".join(named or {}) or type(output).__name__, want=wanted.name,
            )  # fmt: skip
        return tensor
    if named is not None:
        for name in SCORES:
            if (tensor := _as_tensor(named.get(name))) is not None:
                return tensor
        parts = named
    elif isinstance(output, tuple | list):
        found = (part if isinstance(part, Tensor | np.ndarray) else None for part in output)
        parts = {f"item {k}": part for k, part in enumerate(found)}
    else:
        raise _unusable(f"got {type(output).__name__}")
    tensors = {name: _as_tensor(part) for name, part in parts.items()}
    fitting = {
        name: tensor for name, tensor in tensors.items()
        if tensor is not None and tensor.ndim > 0 and len(tensor) == rows
        and (tensor.ndim == 1 or tensor.shape[1:].numel() == tensor.shape[1])
    }  # fmt: skip
    matrices = {name: tensor for name, tensor in fitting.items() if tensor.ndim > 1}
    best = matrices or fitting
    if len(best) > 1 and wanted.columns:
        best = {name: one for name, one in best.items() if one.shape[1:] == (wanted.columns,)}
    if len(best) == 1:
        return next(iter(best.values()))
    held = ", ".join(
        f"{name} {type(parts[name]).__name__ if tensor is None else tuple(tensor.shape)}"
        for name, tensor in tensors.items()
    )
    raise _unusable(f"got {type(output).__name__} with {held or 'nothing in it'}",
                    named=named is not None)  # fmt: skip


def _unusable(got: str, *, named: bool = False) -> VictimError:
    return VictimError(
        f"The victim's model did not return one tensor of scores: {got}",
        *([SetKey("output")] if named else []),
        Advice("wrap the model so that it returns a tensor of shape (n, K)"),
    )


def _named(output: object, wanted: Wanted) -> Mapping[str, Any] | None:
    """The named fields of an output that has any."""
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if is_dataclass(output) and not isinstance(output, type):
        return {one.name: getattr(output, one.name) for one in fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        return dict(output._asdict())
    names = SCORES if wanted.name is None else (wanted.name, *SCORES)
    found = {name: getattr(output, name) for name in names if hasattr(output, name)}
    return found or None


def _as_tensor(value: object) -> Tensor | None:
    """A tensor of what is one already: a tensor, an array, a number, or lists of numbers."""
    if isinstance(value, Tensor):
        dense = value.dequantize() if value.is_quantized else value
        return dense.to_dense() if dense.is_sparse else dense
    if isinstance(value, list) and any(isinstance(item, Tensor) for item in value):
        if all(isinstance(item, Tensor) and item.ndim < 2 for item in value):
            same = len({item.shape for item in value}) == 1
            return torch.stack(value) if same else None
        return None
    if isinstance(value, int | float | np.generic | np.ndarray | list) or hasattr(
        value, "__array__"
    ):
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            return None
        if array.dtype.kind in "US" or (array.dtype == object and _of_words(array)):
            raise VictimError(
                "The victim's model answers with words",
                Advice("return the class as its number, or one score for each class"),
                got=repr(str(array.reshape(-1)[0]))[:40],
            )
        if array.dtype == object and _of_labels(array):
            raise VictimError(
                "The victim's model answers with labels and scores",
                Advice("give the pipeline itself as the victim, as it takes PIL images"),
                Advice("return one score for each class, in the order of the classes"),
            )
        if array.dtype.kind in "fiub":
            return torch.from_numpy(np.ascontiguousarray(array))
    return None


def _of_words(array: np.ndarray[Any, Any]) -> bool:
    return array.size > 0 and all(isinstance(item, str) for item in array.reshape(-1)[:8])


def _of_labels(array: np.ndarray[Any, Any]) -> bool:
    """Whether the answers are as a pipeline of Hugging Face gives them."""
    some = list(array.reshape(-1)[:8])
    flat = [one for item in some for one in (item if isinstance(item, list) else [item])]
    return bool(flat) and all(isinstance(one, Mapping) and "label" in one for one in flat)
