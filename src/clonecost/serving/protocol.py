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
from clonecost.tabular.features import first_wrong

OUTPUT = "probabilities"  # the output tensor's name
HEAD_LENGTH = "Inference-Header-Content-Length"
BINARY, JSON = "application/octet-stream", "application/json"
_FLOAT, _DOUBLE = np.dtype("<f4"), np.dtype("<f8")  # little-endian whatever the machine

Parameters = dict[str, Any]
Floats = Literal["FP32", "FP64"]
Array = np.ndarray[Any, np.dtype[np.float32]]


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
    datatype: Floats
    parameters: Parameters | None = None
    data: list[float] | None = None


class InferenceResponse(BaseModel):
    model_name: str
    id: str | None = None
    outputs: list[ResponseOutput]


class TensorMetadata(BaseModel):
    name: str
    datatype: Floats
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


def input_name(model: ServedModel) -> str:
    """Of the input tensor."""
    return "pixels" if model.api.features is None else "features"


def answer_type(model: ServedModel) -> Floats:
    """Of the output tensor: a table's answers keep the digits that equations are solved with."""
    return "FP32" if model.api.features is None else "FP64"


def metadata(model: ServedModel) -> ModelMetadata:
    takes = TensorMetadata(
        name=input_name(model), datatype="FP32", shape=[-1, *model.api.input_shape]
    )
    gives = TensorMetadata(
        name=OUTPUT, datatype=answer_type(model), shape=[-1, model.api.num_classes]
    )
    return ModelMetadata(name=model.name, platform="clonecost", inputs=[takes], outputs=[gives])


def decode(
    body: bytearray, head_length: int | None, model: ServedModel, max_rows: int
) -> tuple[InferenceRequest, Tensor]:
    """The request, and its (n, *input_shape) float32 pixels in [0, 1] or values of the features.

    Raises:
        RefusedError: 400: the body is not what the model's metadata ask for; 413: too many rows.
    """
    request = _read(body if head_length is None else body[:head_length], head_length, len(body))
    wanted = input_name(model)
    if len(request.inputs) != 1 or request.inputs[0].name != wanted:
        names = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise RefusedError(
            400, f"{model.name} takes one input tensor, {wanted!r}; the request has {names}"
        )
    for output in request.outputs or []:
        if output.name != OUTPUT:
            raise RefusedError(
                400, f"{model.name} has one output, {OUTPUT!r}, and no {output.name!r}"
            )
    tensor = request.inputs[0]
    _check_shape(tensor, model, max_rows)
    in_json = head_length is None
    values = (
        _from_json(tensor, nulls=model.api.incomplete)
        if in_json else _from_bytes(tensor, body[head_length:])
    )  # fmt: skip
    inputs = torch.from_numpy(values).view(tensor.shape)
    if model.api.features is None:
        _check_pixels(inputs, wanted)
    elif wrong := first_wrong(model.api.features, inputs, incomplete=model.api.incomplete):
        raise RefusedError(400, wrong)
    return request, inputs


def _check_pixels(pixels: Tensor, name: str) -> None:
    low, high = pixels.amin(), pixels.amax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        if torch.isnan(low) or torch.isnan(high):
            raise RefusedError(400, f"{name!r} holds NaN; want pixels in [0, 1]")
        raise RefusedError(400, f"want pixels in [0, 1], {name!r} holds [{low:.3g}, {high:.3g}]")


def encode(
    model: ServedModel, request: InferenceRequest, answers: Tensor
) -> tuple[bytes, dict[str, str]]:
    """(n, K) answers as a body and its headers; in binary if the request wants that."""
    kind = answer_type(model)
    floats = _FLOAT if kind == "FP32" else _DOUBLE
    values = answers.cpu().contiguous().numpy().astype(floats, copy=False)
    output = ResponseOutput(name=OUTPUT, shape=list(answers.shape), datatype=kind)
    binary = values.tobytes() if request.wants_binary() else b""
    if binary:
        output.parameters = {"binary_data_size": len(binary)}
    else:
        output.data = values.ravel().tolist()  # a float survives the way through JSON exactly
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
        raise RefusedError(400, f"{tensor.name!r} is FP32, not {tensor.datatype!r}")
    want, got = model.api.input_shape, tuple(tensor.shape)
    if got[1:] != want or got[0] == 0:
        shape = ", ".join(map(str, want))
        raise RefusedError(400, f"want inputs of shape (n, {shape}) with n at least 1, got {got}")
    if got[0] > max_rows:
        raise RefusedError(
            413, f"at most {max_rows:,} rows in one request, this one has {got[0]:,}"
        )


def _from_json(tensor: RequestInput, *, nulls: bool) -> Array:
    """`nulls`: null is a missing value, NaN."""
    if tensor.data is None:
        raise RefusedError(
            400, f"{tensor.name!r} has no data; tensors in binary need the header {HEAD_LENGTH}"
        )
    try:
        values = np.asarray(tensor.data)
    except ValueError:  # lists of different lengths
        values = np.empty(0, dtype=object)
    if nulls and values.dtype == object:
        missing = np.equal(values, np.array(None, dtype=object))
        values = np.asarray(np.where(missing, np.nan, values).tolist())
    if values.dtype.kind not in "fiu":
        raise RefusedError(400, f"the data of {tensor.name!r} are not an array of numbers")
    if values.size != math.prod(tensor.shape):
        raise RefusedError(
            400, f"shape {tensor.shape} asks for {math.prod(tensor.shape):,} numbers, "
            f"the data of {tensor.name!r} are {values.size:,}"
        )  # fmt: skip
    with np.errstate(over="ignore"):  # 1e300 becomes infinity, which the range check names
        return values.ravel().astype(np.float32)


def _from_bytes(tensor: RequestInput, rest: bytearray) -> Array:
    want = _FLOAT.itemsize * math.prod(tensor.shape)
    stated = (tensor.parameters or {}).get("binary_data_size")
    if tensor.data is not None:
        raise RefusedError(
            400, f"{tensor.name!r} has data in JSON: then {HEAD_LENGTH} must not be sent"
        )
    if stated != want or len(rest) != want:
        raise RefusedError(
            400, f"shape {tensor.shape} in FP32 is {want:,} bytes; binary_data_size says {stated}, "
            f"{len(rest):,} follow the head"
        )  # fmt: skip
    return np.frombuffer(rest, dtype=_FLOAT).astype(np.float32, copy=False)
