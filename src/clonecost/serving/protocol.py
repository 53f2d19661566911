"""The Open Inference Protocol v2 over REST: bytes -> a tensor of inputs, answers -> bytes.

Source: the Open Inference Protocol (KServe's "Predict Protocol, version 2", HTTP/REST) and its
binary tensor data extension as in Triton: a JSON head of `Inference-Header-Content-Length` bytes,
then the tensors, little-endian and row-major, each of the `binary_data_size` that the head states.
"""

import math
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from clonecost.serving.model import ServedModel

INPUT, OUTPUT = "pixels", "probabilities"  # the tensors' names
HEAD_LENGTH = "Inference-Header-Content-Length"
BINARY, JSON = "application/octet-stream", "application/json"
_FLOAT = np.dtype("<f4")  # FP32, little-endian whatever the machine

Parameters = dict[str, Any]


class RefusedError(Exception):
    """A request that is not answered: its status, one sentence, and headers for the client."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


class RequestInput(BaseModel):
    """`data` is flat or nested; it is left out when the tensor follows in binary."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class RequestOutput(BaseModel):
    name: str
    parameters: Parameters | None = None


class InferenceRequest(BaseModel):
    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None = None

    def wants_binary(self) -> bool:
        """What is asked of the output itself goes before what is asked of the request."""
        whole = (self.parameters or {}).get("binary_data_output", False)
        asked = [output.parameters or {} for output in self.outputs or []]
        return bool(asked[0].get("binary_data", whole) if asked else whole)


class ResponseOutput(BaseModel):
    name: str
    shape: list[int]
    datatype: Literal["FP32"] = "FP32"
    parameters: Parameters | None = None
    data: list[float] | None = None


class InferenceResponse(BaseModel):
    model_name: str
    id: str | None = None
    outputs: list[ResponseOutput]


class TensorMetadata(BaseModel):
    name: str
    datatype: Literal["FP32"] = "FP32"
    shape: list[int]  # -1: any number of rows


class ModelMetadata(BaseModel):
    name: str
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class Health(BaseModel):
    live: bool | None = None
    ready: bool | None = None
    name: str | None = None


class ErrorBody(BaseModel):
    error: str


def metadata(model: ServedModel) -> ModelMetadata:
    return ModelMetadata(
        name=model.name,
        platform="clonecost",
        inputs=[TensorMetadata(name=INPUT, shape=[-1, *model.input_shape])],
        outputs=[TensorMetadata(name=OUTPUT, shape=[-1, model.num_classes])],
    )


def decode(
    body: bytearray, head_length: int | None, model: ServedModel, max_rows: int
) -> tuple[InferenceRequest, Tensor]:
    """The request, and its (n, *input_shape) float32 pixels in [0, 1].

    Raises:
        RefusedError: 400: the body is not what the model's metadata ask for; 413: too many rows.
    """
    request = _read(body if head_length is None else body[:head_length], head_length, len(body))
    if len(request.inputs) != 1 or request.inputs[0].name != INPUT:
        names = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise RefusedError(
            400, f"{model.name} takes one input tensor, {INPUT!r}; the request has {names}"
        )
    for output in request.outputs or []:
        if output.name != OUTPUT:
            raise RefusedError(
                400, f"{model.name} has one output, {OUTPUT!r}, and no {output.name!r}"
            )
    tensor = request.inputs[0]
    _check_shape(tensor, model, max_rows)
    in_json = head_length is None
    values = _from_json(tensor) if in_json else _from_bytes(tensor, body[head_length:])
    pixels = torch.from_numpy(values).view(tensor.shape)
    low, high = pixels.amin(), pixels.amax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        if torch.isnan(low) or torch.isnan(high):
            raise RefusedError(400, f"{INPUT!r} holds NaN; want pixels in [0, 1]")
        raise RefusedError(400, f"want pixels in [0, 1], {INPUT!r} holds [{low:.3g}, {high:.3g}]")
    return request, pixels


def encode(
    model: ServedModel, request: InferenceRequest, answers: Tensor
) -> tuple[bytes, dict[str, str]]:
    """(n, K) answers as a body and its headers; in binary if the request wants that."""
    values = answers.cpu().contiguous().numpy().astype(_FLOAT, copy=False)
    output = ResponseOutput(name=OUTPUT, shape=list(answers.shape))
    binary = values.tobytes() if request.wants_binary() else b""
    if binary:
        output.parameters = {"binary_data_size": len(binary)}
    else:
        output.data = values.ravel().tolist()  # a float32 survives the way through JSON exactly
    response = InferenceResponse(model_name=model.name, id=request.id, outputs=[output])
    head = response.model_dump_json(exclude_none=True).encode()
    if not binary:
        return head, {"Content-Type": JSON}
    return head + binary, {"Content-Type": BINARY, HEAD_LENGTH: str(len(head))}


def _read(head: bytearray, head_length: int | None, whole: int) -> InferenceRequest:
    if head_length is not None and head_length > whole:
        raise RefusedError(400, f"{HEAD_LENGTH} says {head_length:,} bytes, the body has {whole:,}")
    try:
        return InferenceRequest.model_validate_json(head)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = f"{where}: {first['msg']}" if where else first["msg"]
        raise RefusedError(400, f"the body is no inference request: {said}") from error


def _check_shape(tensor: RequestInput, model: ServedModel, max_rows: int) -> None:
    if tensor.datatype != "FP32":
        raise RefusedError(400, f"{INPUT!r} is FP32, not {tensor.datatype!r}")
    want, got = model.input_shape, tuple(tensor.shape)
    if got[1:] != want or got[0] == 0:
        shape = ", ".join(map(str, want))
        raise RefusedError(400, f"want inputs of shape (n, {shape}) with n at least 1, got {got}")
    if got[0] > max_rows:
        raise RefusedError(
            413, f"at most {max_rows:,} rows in one request, this one has {got[0]:,}"
        )


def _from_json(tensor: RequestInput) -> np.ndarray[Any, np.dtype[np.float32]]:
    if tensor.data is None:
        raise RefusedError(
            400, f"{INPUT!r} has no data; tensors in binary need the header {HEAD_LENGTH}"
        )
    try:
        values = np.asarray(tensor.data)
    except ValueError:  # lists of different lengths
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "fiu":
        raise RefusedError(400, f"the data of {INPUT!r} are not an array of numbers")
    if values.size != math.prod(tensor.shape):
        raise RefusedError(
            400, f"shape {tensor.shape} asks for {math.prod(tensor.shape):,} numbers, "
            f"the data of {INPUT!r} are {values.size:,}"
        )  # fmt: skip
    with np.errstate(over="ignore"):  # 1e300 becomes infinity, which the range check names
        return values.ravel().astype(np.float32)


def _from_bytes(tensor: RequestInput, rest: bytearray) -> np.ndarray[Any, np.dtype[np.float32]]:
    want = _FLOAT.itemsize * math.prod(tensor.shape)
    stated = (tensor.parameters or {}).get("binary_data_size")
    if tensor.data is not None:
        raise RefusedError(400, f"{INPUT!r} has data in JSON: then {HEAD_LENGTH} must not be sent")
    if stated != want or len(rest) != want:
        raise RefusedError(
            400, f"shape {tensor.shape} in FP32 is {want:,} bytes; binary_data_size says {stated}, "
            f"{len(rest):,} follow the head"
        )  # fmt: skip
    return np.frombuffer(rest, dtype=_FLOAT).astype(np.float32, copy=False)
