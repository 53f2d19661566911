"""A served model's requests and responses under the Open Inference Protocol v2."""

import numpy as np
import torch
from torch import Tensor

from clonecost.serving.model import ServedModel
from clonecost.tabular.features import first_wrong
from clonecost.victims.endpoints import wire

OUTPUT = "probabilities"  # the output tensor's name
LONGEST_ID = 1_000  # characters of a request's id, which its answer repeats


class RefusedError(Exception):
    """A refused request: HTTP status, one sentence, and headers for the client."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


def input_name(model: ServedModel) -> str:
    """The input tensor's name."""
    return "pixels" if model.api.features is None else "features"


def answer_type(model: ServedModel) -> str:
    """The output tensor's type: float64 for a table, whose answers equations are solved from."""
    return "FP32" if model.api.features is None else "FP64"


def metadata(model: ServedModel) -> wire.ModelMetadata:
    """The model's input and output tensors."""
    takes = wire.TensorMetadata(
        name=input_name(model), datatype="FP32", shape=[-1, *model.api.input_shape]
    )
    gives = wire.TensorMetadata(
        name=OUTPUT, datatype=answer_type(model), shape=[-1, model.api.num_classes],
        parameters={wire.LABELS: list(model.classes)} if model.classes else None,
    )  # fmt: skip
    return wire.ModelMetadata(
        name=model.name, platform="clonecost", inputs=[takes], outputs=[gives]
    )


def decode(
    body: bytearray, head_length: int | None, model: ServedModel, max_rows: int
) -> tuple[wire.InferenceRequest, Tensor]:
    """The request, and its (n, *input_shape) float32 pixels in [0, 1] or values of the features.

    Raises:
        RefusedError: 400: the body does not fit the model's metadata; 413: too many rows.
    """
    try:
        request, raws = wire.read(wire.InferenceRequest, body, head_length)
        tensor = _input_of(request, model, max_rows)
        values = wire.unpack(tensor, raws[0], nulls=model.api.incomplete)
        tensor.data = None  # the request is kept until it is answered; its values are copied
    except wire.FrameError as error:
        raise RefusedError(400, str(error)) from error
    inputs = torch.from_numpy(values.astype(np.float32, copy=False))
    if model.api.features is None:
        _check_pixels(inputs, tensor.name)
    elif problem := first_wrong(model.api.features, inputs, incomplete=model.api.incomplete):
        raise RefusedError(400, problem)
    return request, inputs


def encode(
    model: ServedModel, request: wire.InferenceRequest, answers: Tensor
) -> tuple[bytes, dict[str, str]]:
    """(n, K) answers as a body and its headers, in binary if the request states so."""
    values = answers.cpu().numpy()
    output, raw = wire.pack(OUTPUT, answer_type(model), values, binary=request.wants_binary())
    response = wire.InferenceResponse(model_name=model.name, id=request.id, outputs=[output])
    return wire.write(response, raw)


def _input_of(request: wire.InferenceRequest, model: ServedModel, max_rows: int) -> wire.WireTensor:
    """The only input of a request, with the type and the shape that the model takes."""
    name, want = input_name(model), model.api.input_shape
    if len(request.id or "") > LONGEST_ID:
        raise RefusedError(
            400, f"the id is too long: got {len(request.id or ''):,} characters, want at most "
            f"{LONGEST_ID:,}",
        )  # fmt: skip
    if len(request.inputs) != 1 or request.inputs[0].name != name:
        names = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise RefusedError(
            400,
            f"the request has other input tensors than {model.name}: got {names}, want {name!r}",
        )
    for output in request.outputs or []:
        if output.name != OUTPUT:
            raise RefusedError(
                400, f"{model.name} has no such output: got {output.name!r}, want {OUTPUT!r}"
            )
    tensor = request.inputs[0]
    if tensor.datatype != "FP32":
        raise RefusedError(
            400, f"{name!r} has the wrong datatype: got {tensor.datatype!r}, want 'FP32'"
        )
    got = tuple(tensor.shape)
    if got[1:] != want or got[0] == 0:
        shape = ", ".join(map(str, want))
        raise RefusedError(
            400, f"{name!r} has the wrong shape: got {got}, want (n, {shape}) with n at least 1"
        )
    if got[0] > max_rows:
        raise RefusedError(
            413, f"too many rows in one request: got {got[0]:,}, want at most {max_rows:,}"
        )
    return tensor


def _check_pixels(pixels: Tensor, name: str) -> None:
    low, high = pixels.amin(), pixels.amax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        if torch.isnan(low) or torch.isnan(high):
            raise RefusedError(400, f"{name!r} holds NaN, want pixels in [0, 1]")
        raise RefusedError(
            400, f"{name!r} is out of range: got [{low:.3g}, {high:.3g}], want pixels in [0, 1]"
        )
