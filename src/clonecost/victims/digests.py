"""Digests by which a victim is known again: of its weights, of its object, of its source code."""

import hashlib
import inspect
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clonecost.persistence.disk import file_digest


def weights_digest(module: nn.Module) -> str:
    """sha256 over names and values of everything that the module would save.

    That includes quantised tensors, packed parameters and extra state of any type.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        for part in _bytes_of(value):
            digest.update(part)
    return digest.hexdigest()


def estimator_digest(estimator: object) -> str | None:
    """sha256 of joblib's SHA-1 of an estimator's fitted state, the same in every process.

    None without joblib. The state is written for the digest only, and nothing is loaded.
    """
    try:
        import joblib
    except ImportError:
        return None
    try:
        found = joblib.hash(estimator, hash_name="sha1")
    except Exception:  # an attribute that cannot be pickled, such as a lock
        return None
    return hashlib.sha256(found.encode()).hexdigest()


def code_digest(thing: object) -> str | None:
    """sha256 of the source file that defines a function, a class, or an object's class.

    None where there is no such file, as for what is typed at a prompt or compiled.
    """
    target = thing if inspect.isroutine(thing) or isinstance(thing, type) else type(thing)
    try:
        file = inspect.getsourcefile(inspect.unwrap(target))
    except (TypeError, OSError, ValueError):
        return None
    return file_digest(Path(file)) if file and Path(file).is_file() else None


def _bytes_of(value: Any) -> Iterable[bytes]:
    """The bytes that stand for a value of a state dict, tensors by their exact values."""
    if isinstance(value, Tensor):
        yield from _bytes_of_tensor(value.detach())
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _bytes_of(value[key])
    elif isinstance(value, list | tuple):
        yield f"{type(value).__name__} {len(value)}".encode()
        for part in value:
            yield from _bytes_of(part)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value).encode()
    elif isinstance(value, torch.dtype | torch.device | torch.Size):
        yield str(value).encode()
    else:
        state = getattr(value, "__getstate__", lambda: None)()
        yield type(value).__qualname__.encode()
        if isinstance(state, dict | list | tuple):
            yield from _bytes_of(state)
        else:
            yield pickle.dumps(value, protocol=4)


def _bytes_of_tensor(value: Tensor) -> Iterable[bytes]:
    if value.is_quantized:
        yield str((value.dtype, value.qscheme())).encode()
        per_channel = value.qscheme() in (
            torch.per_channel_affine, torch.per_channel_affine_float_qparams,
        )  # fmt: skip
        if per_channel:
            yield from _bytes_of([value.q_per_channel_scales(), value.q_per_channel_zero_points()])
        else:
            yield from _bytes_of([value.q_scale(), value.q_zero_point()])
        value = value.int_repr()
    if value.layout != torch.strided:
        value = value.to_dense()
    plain = value.cpu().resolve_conj().resolve_neg().contiguous().flatten()
    yield plain.view(torch.uint8).numpy().tobytes()  # as bytes: NumPy has no bfloat16
