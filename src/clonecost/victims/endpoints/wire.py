"""The Open Inference Protocol v2 over REST: messages, tensor types and frames.

The server (`clonecost.serving`) and the client (`open_inference`) both use this module.

Source: the Open Inference Protocol (KServe's "Predict Protocol, version 2", HTTP/REST) and its
binary tensor data extension as in Triton: a JSON head of `Inference-Header-Content-Length` bytes,
then the tensors, little-endian and row-major, each of the `binary_data_size` that the head states.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clonecost.victims.endpoints.server_words import document_of, error_words

HEAD_LENGTH = "Inference-Header-Content-Length"
BINARY, JSON = "application/octet-stream", "application/json"
LABELS = "labels"  # parameter of an output in the metadata: the names of the classes
EXTENSION = "binary_tensor_data"  # the extension of a server that takes and gives binary tensors

# Little-endian on every machine.
DTYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"), "FP16": np.dtype("<f2"),
    "UINT8": np.dtype("u1"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "INT8": np.dtype("i1"), "INT16": np.dtype("<i2"), "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"), "BOOL": np.dtype("?"),
}  # fmt: skip
WORDS = "BYTES"  # the datatype of texts
LENGTH = np.dtype("<u4")  # of a text in binary, before it

Array = np.ndarray[Any, np.dtype[Any]]
Parameters = dict[str, Any]
Bytes = bytes | bytearray | memoryview


class FrameError(ValueError):
    """Bytes that are no message of the protocol; the error's text is one line."""


class ServerError(FrameError):
    """An error in the server's own words, in the place of an answer."""


class Part(BaseModel):
    """A part of a message, in which null means the same as a field that is left out."""

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: one for key, one in value.items() if one is not None}


class WireTensor(Part):
    """A tensor of a message. `data` is flat or nested, and None if binary data follow the head."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class RequestedOutput(Part):
    """The output tensor that a request names."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(Part):
    """The body of `POST /v2/models/NAME/infer`."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # infinity is not null, which is NaN
    what: ClassVar[str] = "inference request"

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[WireTensor]
    outputs: list[RequestedOutput] | None = None

    @property
    def tensors(self) -> list[WireTensor]:
        return self.inputs

    def wants_binary(self) -> bool:
        """Whether the answer is sent in binary: the output's parameter overrules the request's."""
        default = (self.parameters or {}).get("binary_data_output", False)
        outputs = [output.parameters or {} for output in self.outputs or []]
        return bool(outputs[0].get("binary_data", default) if outputs else default)


class InferenceResponse(Part):
    """The answer to `POST /v2/models/NAME/infer`."""

    model_config = ConfigDict(ser_json_inf_nan="constants")
    what: ClassVar[str] = "inference response"

    model_name: str = ""
    id: str | None = None
    outputs: list[WireTensor]

    @property
    def tensors(self) -> list[WireTensor]:
        return self.outputs


class TensorMetadata(Part):
    """A tensor that a model takes or gives."""

    name: str
    datatype: str
    shape: list[int] = []  # -1: any size; empty: not stated
    parameters: Parameters | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, which our servers state as a parameter."""
        labels = (self.parameters or {}).get(LABELS)
        return tuple(map(str, labels)) if isinstance(labels, list) else ()


class ModelMetadata(Part):
    """The answer to `GET /v2/models/NAME`."""

    name: str = ""
    platform: str = ""
    inputs: list[TensorMetadata] = []
    outputs: list[TensorMetadata] = []

    @model_validator(mode="before")
    @classmethod
    def _of_a_model(cls, value: Any) -> Any:
        known = {"inputs", "outputs", "name", "versions", "platform"}
        if isinstance(value, dict) and not known & value.keys():
            raise ValueError("it has neither inputs nor outputs")
        return value


class ServerMetadata(Part):
    """The answer to `GET /v2`."""

    name: str = ""
    version: str = ""
    extensions: list[str] = []


class Health(Part):
    """The answer of the health addresses."""

    live: bool | None = None
    ready: bool | None = None
    name: str | None = None


class ErrorBody(BaseModel):
    """The answer to a refused request."""

    error: str


Message = TypeVar("Message", InferenceRequest, InferenceResponse)


def pack(
    name: str, datatype: str, values: Array, *, binary: bool
) -> tuple[WireTensor, bytes | None]:
    """Values as a tensor of a message, and the bytes that follow the head in binary, else None.

    Values are cast to the datatype. A NaN becomes null in JSON, which has no NaN.
    """
    typed = values.astype(DTYPES[datatype])
    tensor = WireTensor(name=name, datatype=datatype, shape=list(values.shape))
    if binary:
        raw = typed.tobytes()
        tensor.parameters = {"binary_data_size": len(raw)}
        return tensor, raw
    tensor.data = typed.ravel().tolist()  # JSON keeps floats exactly
    if typed.dtype.kind == "f" and np.isnan(typed).any():
        tensor.data = [None if math.isnan(number) else number for number in tensor.data]
    return tensor, None


def unpack(
    tensor: WireTensor, raw: Bytes | None, *, nulls: bool = False, texts: bool = False
) -> Array:
    """The values of a tensor in its shape and type.

    Args:
        raw: the tensor's bytes; None if its data are JSON.
        nulls: whether null in JSON stands for a missing value, NaN.
        texts: whether JSON may hold numbers as texts.

    Raises:
        FrameError: the type is unknown, or the values do not fit type and shape.
    """
    if tensor.datatype not in DTYPES:
        raise FrameError(
            f"the datatype of {tensor.name!r} is unknown: got {tensor.datatype!r}, want one of "
            f"{', '.join(DTYPES)}"
        )
    dtype, size = DTYPES[tensor.datatype], math.prod(tensor.shape)
    if raw is None:
        return _from_json(tensor, dtype, size, nulls=nulls, texts=texts).reshape(tensor.shape)
    if len(raw) != size * dtype.itemsize:
        raise FrameError(
            f"binary_data_size of {tensor.name!r} does not fit its shape {tensor.shape} in "
            f"{tensor.datatype}: got {len(raw):,}, want {size * dtype.itemsize:,}"
        )
    # a copy, because the parts of a body are not aligned, and kernels then round differently
    return np.frombuffer(raw, dtype).reshape(tensor.shape).copy()


def words(tensor: WireTensor, raw: Bytes | None) -> list[str]:
    """The texts of a tensor of the datatype BYTES.

    Raises:
        FrameError: they do not fit its shape, or are no texts.
    """
    size = math.prod(tensor.shape)
    found = _flat(tensor.data or []) if raw is None else _texts_in(bytes(raw), tensor.name)
    if len(found) != size:
        raise FrameError(
            f"the data of {tensor.name!r} do not fit its shape {tensor.shape}: got "
            f"{len(found):,} texts, want {size:,}"
        )
    if any(isinstance(one, dict | list) or one is None for one in found):
        raise FrameError(f"the data of {tensor.name!r} are not texts")
    return [str(one) for one in found]


def _texts_in(raw: bytes, name: str) -> list[str]:
    """Texts in binary: each after its length in 4 bytes."""
    found, at = [], 0
    while at < len(raw):
        start = at + LENGTH.itemsize
        at = start + int.from_bytes(raw[at:start], "little")
        if at > len(raw):
            raise FrameError(f"the texts of {name!r} are longer than their binary_data_size")
        try:
            found.append(raw[start:at].decode())
        except UnicodeDecodeError as error:
            raise FrameError(f"a text of {name!r} is no UTF-8") from error
    return found


def _flat(data: list[Any]) -> list[Any]:
    return [one for part in data for one in (_flat(part) if isinstance(part, list) else [part])]


def write(
    message: InferenceRequest | InferenceResponse, raw: bytes | None
) -> tuple[bytes, dict[str, str]]:
    """A message with one tensor as a body and its headers.

    Args:
        raw: the bytes of the message's tensor, from `pack`.
    """
    head = message.model_dump_json(exclude_none=True).encode()
    if raw is None:
        return head, {"Content-Type": JSON}
    return head + raw, {"Content-Type": BINARY, HEAD_LENGTH: str(len(head))}


def read(
    kind: type[Message], body: bytes | bytearray, head_length: int | None
) -> tuple[Message, list[memoryview | None]]:
    """A body as a message, and the bytes of each of its tensors; None for data in JSON.

    Args:
        kind: `InferenceRequest` or `InferenceResponse`.
        head_length: the value of the header `HEAD_LENGTH`; None if it was not sent.

    Raises:
        FrameError: the body is no such message, or the sizes of its parts do not add up.

    Example:
        >>> tensor, raw = pack("x", "FP32", np.zeros((2, 3)), binary=True)
        >>> body, headers = write(InferenceResponse(outputs=[tensor]), raw)
        >>> message, (part,) = read(InferenceResponse, body, int(headers[HEAD_LENGTH]))
        >>> unpack(message.outputs[0], part).shape
        (2, 3)
    """
    length = len(body)
    if head_length is not None and not 0 <= head_length <= length:
        raise FrameError(f"{HEAD_LENGTH} states {head_length:,} bytes, the body has {length:,}")
    view = memoryview(body)
    head = body if head_length is None else bytes(view[:head_length])  # no copy of a large body
    try:
        if kind is InferenceResponse and head.lstrip()[:1] == b'"':  # JSON as text in JSON
            message = kind.model_validate(document_of(head))
        else:
            message = kind.model_validate_json(head)
    except (ValidationError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise FrameError(f"the body is no {kind.what}: it is nested too deeply") from error
        if kind is InferenceResponse and (said := _error_in(head)):
            raise ServerError(said) from error
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise FrameError(f"the body is no {kind.what}: {problem}") from error
    if kind is InferenceResponse and not message.tensors and (said := _error_in(head)):
        raise ServerError(said)
    rest = view[length if head_length is None else head_length :]
    # other people's servers may send an empty list beside data in binary
    return message, _parts(message.tensors, rest, strict=kind is InferenceRequest)


def _error_in(head: bytes | bytearray) -> str:
    """The server's words of an error; empty if there are none."""
    try:
        return error_words(document_of(head))
    except (ValueError, RecursionError):
        return ""


def _parts(
    tensors: Sequence[WireTensor], rest: memoryview, *, strict: bool
) -> list[memoryview | None]:
    """The bytes after the head, split into those of each tensor."""
    parts: list[memoryview | None] = []
    at = 0
    for tensor in tensors:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is not None and (tensor.data is not None if strict else tensor.data):
            raise FrameError(f"{tensor.name!r} has data in JSON, and a binary_data_size as well")
        if size is None:
            parts.append(None)
            continue
        if type(size) is not int or size < 0:
            raise FrameError(f"binary_data_size of {tensor.name!r} is no number of bytes: {size!r}")
        parts.append(rest[at : at + size])
        at += size
    if at != len(rest):
        raise FrameError(
            f"binary_data_size states {at:,} bytes, {len(rest):,} follow the head that "
            f"{HEAD_LENGTH} states"
        )
    return parts


def _from_json(
    tensor: WireTensor, dtype: np.dtype[Any], size: int, *, nulls: bool, texts: bool
) -> Array:
    if tensor.data is None:
        raise FrameError(f"{tensor.name!r} has no data, neither in JSON nor in binary")
    no_numbers = FrameError(f"the data of {tensor.name!r} are not an array of numbers")
    # before an array is made: one of text is as wide as its longest word, in every place
    kinds = _kinds(tensor.data)
    known = {int, float} | ({type(None)} if nulls else set()) | ({str} if texts else set())
    known |= {bool} if dtype.kind == "b" else set()
    if not kinds <= known:
        raise no_numbers
    try:
        if str in kinds:
            flat = _flat(tensor.data)
            values = np.array([math.nan if one is None else float(one) for one in flat])
        else:  # without a type, whole numbers above 63 bits would become floats
            whole = dtype == np.uint64 and kinds == {int}
            values = np.asarray(tensor.data, np.uint64 if whole else None)
    except (OverflowError, ValueError) as error:
        raise no_numbers from error
    if type(None) in kinds and str not in kinds:
        missing = np.equal(values, np.array(None, dtype=object))
        values = np.asarray(np.where(missing, np.nan, values).tolist())
    if values.dtype.kind not in "fiub":  # a whole number above 64 bits
        raise no_numbers
    if values.size != size:
        raise FrameError(
            f"the data of {tensor.name!r} do not fit its shape {tensor.shape}: got "
            f"{values.size:,} numbers, want {size:,}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # 1e300 becomes infinity in float32
        typed = values.astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(typed, values):
        raise FrameError(f"the data of {tensor.name!r} are not all of type {tensor.datatype}")
    return typed


def _kinds(data: list[Any]) -> set[type]:
    """The types in a flat or nested list; `list`, if lists have different lengths."""
    kinds = set(map(type, data))
    return set(map(type, np.array(data, dtype=object).ravel())) if list in kinds else kinds
