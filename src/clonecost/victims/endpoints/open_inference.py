"""Open Inference Protocol v2 (KServe, Triton, MLServer, Seldon, OpenVINO) over HTTP.

The model's tensors are read from `GET /v2/models/NAME`. Rows are sent in binary where `GET /v2`
lists the extension `binary_tensor_data`, else as JSON, which is some 30 times as slow.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from clonecost.errors import Advice, SetKey, VictimError, suggest
from clonecost.types import InputPrecision, Shape
from clonecost.victims.endpoints import wire
from clonecost.victims.endpoints.calling import Caller, exchange
from clonecost.victims.endpoints.settings import EndpointSettings
from clonecost.victims.input_form import Arrangement, InputForm, Sizes, in_bytes, shaped

MODEL = re.compile(
    r"(?P<model>(?P<server>[^?#]*/v2)/models/[^/?#]+(/versions/[^/?#]+)?)(/infer)?/?"
)
TAKES = ("FP32", "FP64", "FP16", "UINT8")  # types of an input, and of scores
LABELS = ("INT64", "INT32")  # types of an answer with the class's number
GIVES = (*TAKES, *LABELS)
WIDE = ("FP32", "FP64")  # types that hold a row of a table without rounding
ROWS = 32  # rows of a request, by default


def is_open_inference(url: str) -> bool:
    """Whether the address has the form of a model's under this protocol."""
    return MODEL.fullmatch(url) is not None


@dataclass(frozen=True, kw_only=True)
class OpenInference:
    """One model of one server; a `Dialect`."""

    url: str  # for inference
    input: str  # the tensor's name
    datatype: str
    sizes: Sizes
    output: str  # the tensor's name
    binary: bool
    form: InputForm
    arrangement: Arrangement
    rows_per_request: int
    num_classes: int | None
    exact: bool = False  # rows of a table: not rounded, and FP64 answers stay float64
    method: str = "POST"

    @property
    def takes(self) -> InputPrecision:
        return "uint8" if self.datatype == "UINT8" else "float32"

    @property
    def served(self) -> str:
        way = "binary" if self.binary else "JSON"
        form = "rows of a table" if self.exact else self.arrangement
        return f"Open Inference Protocol v2, {way}, {self.datatype}, {form}"

    def request(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        values = shaped(self.form.apply(inputs, self.arrangement), self.sizes).numpy()
        if self.datatype == "UINT8":
            values = values.round().clip(0, 255)
        tensor, raw = wire.pack(self.input, self.datatype, values, binary=self.binary)
        parameters = {"binary_data": True} if self.binary else None
        output = wire.RequestedOutput(name=self.output, parameters=parameters)
        body, headers = wire.write(wire.InferenceRequest(inputs=[tensor], outputs=[output]), raw)
        return headers, body

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        try:
            scores = self._scores(response)
        except ValueError as error:  # a FrameError, or a header that is no number
            raise VictimError(
                f"The answer of {self.url} is no inference response ({error})"
            ) from error
        if scores.dtype.kind == "i":
            return self._one_hot(scores, rows)
        # a trailing (.., 1, 1) is a pooled image of one pixel
        if scores.ndim < 2 or scores.shape[0] != rows or any(n != 1 for n in scores.shape[2:]):
            raise VictimError(f"The answer of {self.url} to {rows} rows has the wrong shape",
                              got=tuple(scores.shape), want=f"({rows}, classes)")  # fmt: skip
        dtype = np.float64 if self.exact and scores.dtype == np.float64 else np.float32
        return torch.from_numpy(scores.astype(dtype)).view(rows, -1)

    def _one_hot(self, labels: wire.Array, rows: int) -> Tensor:
        """(rows,) or (rows, 1) numbers of classes -> (rows, K)."""
        if self.num_classes is None:
            raise VictimError(f"{self.url} answers with numbers of classes, and the number of "
                              "classes is unknown", SetKey("classes"))  # fmt: skip
        if labels.size != rows or not ((labels >= 0) & (labels < self.num_classes)).all():
            raise VictimError(
                f"The answer of {self.url} to {rows} rows is no class a row",
                SetKey("endpoint.output"),
                got=f"whole numbers of shape {tuple(labels.shape)}, {labels.min(initial=0)} to "
                f"{labels.max(initial=0)}",
                want=f"one class a row, 0 to {self.num_classes - 1}, or scores",
            )  # fmt: skip
        classes = torch.from_numpy(labels.reshape(-1).astype(np.int64))
        return torch.nn.functional.one_hot(classes, self.num_classes).float()

    def _scores(self, response: httpx2.Response) -> wire.Array:
        length = response.headers.get(wire.HEAD_LENGTH)
        head_length = None if length is None else int(length)
        message, raws = wire.read(wire.InferenceResponse, response.content, head_length)
        for tensor, raw in zip(message.outputs, raws, strict=True):
            if tensor.name == self.output:
                return wire.unpack(tensor, raw)
        names = ", ".join(repr(tensor.name) for tensor in message.outputs) or "none"
        raise wire.FrameError(f"the output {self.output!r} is missing: got {names}")


def connect(
    client: Caller, url: str, settings: EndpointSettings, form: InputForm,
    input_shape: Shape, num_classes: int | None, *, exact: bool = False,
) -> OpenInference:  # fmt: skip
    """Read the model's metadata and choose the requests that fit. Sends no row.

    Args:
        url: the model's address, for which `is_open_inference` holds.
        exact: rows of a table are sent, not images.

    Raises:
        VictimError: the model takes another shape or gives another number of classes, or the
            server has another protocol.
        UnansweredError: the server does not answer.
    """
    address = MODEL.fullmatch(url)
    assert address is not None
    origin = address["model"]
    metadata = _metadata(client, origin)
    if not (metadata.inputs or metadata.outputs):
        metadata = _metadata_of(settings, input_shape, origin, exact=exact)
    takes = _pick("input", settings.input, metadata.inputs, origin)
    gives = _pick("output", settings.output, metadata.outputs, origin)
    if takes.datatype not in TAKES or gives.datatype not in GIVES:
        raise VictimError(
            f"The types of {origin} do not fit",
            got=f"input {takes.datatype}, output {gives.datatype}",
            want=f"{', '.join(TAKES)}; for an output also {' or '.join(LABELS)}",
        )
    if exact and takes.datatype not in WIDE:
        raise VictimError(
            f"{origin} would round the numbers of a table, and the ledger would not show it",
            Advice("serve the model with another input type"), got=takes.datatype,
            want=" or ".join(WIDE),
        )  # fmt: skip
    batch, *sizes = takes.shape or [-1]
    if batch > 1:
        raise VictimError(
            f"{origin} takes exactly {batch} rows a request, and rows that pad a batch would be "
            "paid for", Advice("serve the model with a dynamic batch"),
        )  # fmt: skip
    classes = gives.shape[1] if len(gives.shape) > 1 and gives.datatype not in LABELS else -1
    if num_classes is not None and classes > 0 and classes != num_classes:
        raise VictimError(
            f"{origin} has another number of classes than the audit", SetKey("test"),
            SetKey("classes"), got=classes, want=num_classes,
        )  # fmt: skip
    if takes.datatype == "UINT8":
        form = in_bytes(form)
    row: Sizes = [size if size > 0 else None for size in sizes]
    binary = settings.binary
    if binary is None:
        binary = wire.EXTENSION in _extensions(client, address["server"])
    return OpenInference(
        url=f"{origin}/infer",
        input=takes.name,
        datatype=takes.datatype,
        sizes=row,
        output=gives.name,
        binary=binary,
        form=form,
        arrangement=form.arrangement(row, input_shape, origin),
        rows_per_request=1 if batch == 1 else settings.batch_size or ROWS,
        num_classes=num_classes,
        exact=exact,
    )


def _metadata(client: Caller, origin: str) -> wire.ModelMetadata:
    response = exchange(client, "GET", origin)
    try:
        return wire.ModelMetadata.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its body"
        raise VictimError(
            f"{origin} is no model under the Open Inference Protocol v2 ({where}: {first['msg']})",
            Advice("describe another API with `endpoint.body` and `endpoint.answers`"),
        ) from error


def _metadata_of(
    settings: EndpointSettings, input_shape: Shape, origin: str, *, exact: bool
) -> wire.ModelMetadata:
    """The tensors that the settings name, for a server without metadata (MLServer's of sklearn)."""
    if settings.input is None or settings.output is None:
        raise VictimError(
            f"The metadata of {origin} are empty",
            Advice("name the model's tensors as `endpoint.input` and `endpoint.output` (\"x\" and "
                   '"predict_proba" for scikit-learn on MLServer)'),
        )  # fmt: skip
    takes, gives = ("FP64", "FP64") if exact else ("FP32", "FP32")
    return wire.ModelMetadata(
        inputs=[wire.TensorMetadata(name=settings.input, datatype=takes, shape=[-1, *input_shape])],
        outputs=[wire.TensorMetadata(name=settings.output, datatype=gives, shape=[-1, -1])],
    )


def _extensions(client: Caller, server: str) -> Sequence[str]:
    """The protocol extensions that the server lists; none if the server gives no list."""
    try:
        response = exchange(client, "GET", server)
        return wire.ServerMetadata.model_validate_json(response.content).extensions
    except (VictimError, ValidationError):
        return []


def _pick(
    what: str, name: str | None, tensors: list[wire.TensorMetadata], origin: str
) -> wire.TensorMetadata:
    names = [tensor.name for tensor in tensors]
    if name is not None:
        if name not in names:
            raise VictimError(f"{origin}: {suggest(what, name, names)}",
                              SetKey(f"endpoint.{what}"))  # fmt: skip
        return tensors[names.index(name)]
    if len(tensors) != 1:
        raise VictimError(f"{origin} has not exactly one {what}", SetKey(f"endpoint.{what}"),
                          got=", ".join(names) or "none")  # fmt: skip
    return tensors[0]
