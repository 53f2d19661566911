"""A second device on a machine that has none: tensors that say that they are elsewhere.

Its tensors hold a CPU tensor, say that they are on the device `meta` and refuse to be mixed with
CPU tensors, as CUDA does; generators must be on the device of what they draw. So a rehearsal finds
most of what would fail on a GPU. It finds nothing about streams, precision or kernels.

Every wait for the device is counted in `WAITS`: values that Python reads, and copies to the CPU.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

THERE = torch.device("meta")
WAITS: Counter[str] = Counter()
_Generator = torch.Generator  # inside `pretended` the name means ours
aten = torch.ops.aten
_READS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default,
          aten.masked_select.default}  # fmt: skip
# their indices may be on the CPU
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default,
            aten._index_put_impl_.default}  # fmt: skip


class MixedDevicesError(RuntimeError):
    """Tensors of two devices meet, or a generator is on another device than what it draws."""


class Elsewhere(Tensor):
    """A tensor on the pretended device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        made = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=THERE,
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, dict(kwargs or {}))


class Generator(torch.Generator):
    """A generator that knows its pretended device."""

    elsewhere: set[int] = set()  # noqa: RUF012  # of all of them, by the address that torch keeps
    made: list[torch.Generator] = []  # noqa: RUF012  # no address is used twice

    place: torch.device
    _cdata: int

    def __new__(cls, device: torch.device | str = "cpu") -> "Generator":
        self = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        self.place = torch.device(device)
        cls.made.append(self)
        (cls.elsewhere.add if self.place == THERE else cls.elsewhere.discard)(self._cdata)
        return self

    def __init__(self, device: torch.device | str = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, dict(kwargs or {}))


@contextmanager
def pretended() -> Iterator[torch.device]:
    """The pretended device inside the `with`."""
    make, enabled, to_list = torch.tensor, torch.is_autocast_enabled, Tensor.tolist

    def tensor(data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
        made = make(data, **kwargs)
        return made if device is None else made.to(device)

    def tolist(self: Tensor) -> Any:
        if isinstance(self, Elsewhere):
            WAITS["tolist"] += 1
            return to_list(self.held)
        return to_list(self)

    def unfused(init: Any) -> Any:
        def made(self: Any, *args: Any, fused: bool = False, **kwargs: Any) -> None:
            init(self, *args, **kwargs)

        return made

    kinds = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    WAITS.clear()
    with (
        patch.object(torch, "Generator", Generator), patch.object(torch, "tensor", tensor),
        patch.object(Tensor, "tolist", tolist),
        patch.object(torch, "is_autocast_enabled", lambda kind="cpu": enabled("cpu")),
        patch.object(kinds[0], "__init__", unfused(kinds[0].__init__)),
        patch.object(kinds[1], "__init__", unfused(kinds[1].__init__)),
        patch.object(kinds[2], "__init__", unfused(kinds[2].__init__)), _Mode(),
    ):  # fmt: skip
        yield THERE


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    values = tree_flatten((args, kwargs))[0]
    tensors = [one for one in values if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, Elsewhere)]
    here = [one for one in tensors if not isinstance(one, Elsewhere)]
    copies = func in (aten._to_copy.default, aten.copy_.default)
    wanted = kwargs.get("device")
    to_there = wanted is not None and torch.device(wanted) == THERE
    out_there = to_there if wanted is not None else bool(there)
    if func is aten.copy_.default:
        out_there = isinstance(args[0], Elsewhere)
    indexed = func in _INDEXED and isinstance(args[0], Elsewhere)
    if there and any(one.ndim for one in here) and not copies and not indexed:
        shapes = [(type(one).__name__, tuple(one.shape)) for one in tensors]
        raise MixedDevicesError(f"{func} of {shapes}")
    for one in values:
        drawn = isinstance(one, _Generator)
        if drawn and (one._cdata in Generator.elsewhere) != bool(there or to_there):
            raise MixedDevicesError(f"{func} draws on another device than its generator's")
    if there and (func in _READS or (copies and not out_there)):
        WAITS[str(func)] += 1
    if wanted is not None:
        kwargs["device"] = torch.device("cpu")

    def inner(value: Any) -> Any:
        return value.held if isinstance(value, Elsewhere) else value

    def outer(value: Any) -> Any:
        plain = isinstance(value, Tensor) and not isinstance(value, Elsewhere)
        return Elsewhere(value) if plain else value

    out = func(*tree_map(inner, args), **tree_map(inner, kwargs))
    if func is aten._to_copy.default and bool(there) != out_there:
        out = tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, out)
    if not out_there or func is aten._local_scalar_dense.default:
        return out
    out = tree_map(outer, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if there else out
