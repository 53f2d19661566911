"""Weights of a catalogue's network, from a safetensors file."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clonecost.errors import SetKey, VictimError
from clonecost.networks.catalogue import build
from clonecost.persistence.file_limits import check_safetensors
from clonecost.types import Shape


def load_weights(path: Path, network: str, input_shape: Shape, num_classes: int) -> nn.Module:
    """A network of the catalogue, in eval mode, with the weights and normalisation of a file.

    Draws no random numbers. The network maps (n, *input_shape) pixels in [0, 1] to (n,
    num_classes) logits.

    Raises:
        VictimError: no such file, not safetensors, or not exactly the network's tensors.
        SpecError: the network is unknown or cannot take this shape.

    Example:
        >>> model = load_weights(Path("net.safetensors"), "lenet", (1, 32, 32), 10)
    """
    check_safetensors(path, VictimError)
    with torch.device("meta"):  # neither memory nor initial weights for what is replaced at once
        model = build(network, input_shape, num_classes)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise VictimError(f"{path} is not a safetensors file: {error}") from error
    expected = model.state_dict()
    if problem := _mismatch(expected, tensors):
        raise VictimError(
            f"{path} does not fit network {network!r} for inputs {input_shape} and {num_classes} "
            f"classes: {problem}", SetKey("network"), SetKey("shape"), SetKey("classes"),
        )  # fmt: skip
    model.load_state_dict(
        {key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()}, assign=True
    )
    return model.eval()


def _mismatch(expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> str | None:
    for key, tensor in expected.items():
        if key not in tensors:
            return f"tensor {key!r} is missing"
        if tensor.shape != tensors[key].shape:
            got, want = tuple(tensors[key].shape), tuple(tensor.shape)
            return f"tensor {key!r} has shape {got}, want {want}"
    extra = next((key for key in tensors if key not in expected), None)
    return None if extra is None else f"tensor {extra!r} is not part of the network"
