"""Open Inference Protocol v2 (KServe, Triton, MLServer, Seldon, OpenVINO) over HTTP.

What the model takes is read from `GET /v2/models/NAME`; tensors travel in binary where
`GET /v2` lists the extension `binary_tensor_data`, else as JSON, which is some 30 times as slow.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from clonecost.errors import VictimError, suggest
from clonecost.types import InputPrecision, Shape
from clonecost.victims.endpoints import wire
from clonecost.victims.endpoints.sending import exchange
from clonecost.victims.endpoints.settings import EndpointSettings
from clonecost.victims.input_form import Arrangement, InputForm, Sizes, shaped

MODEL = re.compile(
    r"(?P<model>(?P<server>[^?#]*/v2)/models/[^/?#]+(/versions/[^/?#]+)?)(/infer)?/?"
)
TAKES = ("FP32", "FP64", "FP16", "UINT8")  # types of an input, and of scores
LABELS = ("INT64", "INT32")  # of an answer: the class's number
GIVES = (*TAKES, *LABELS)
WIDE = ("FP32", "FP64")  # types that hold a row of a table as it is
ROWS = 32  # of a request, when nobody says


def speaks_it(url: str) -> bool:
    """Whether the address is one of a model under this protocol."""
    return MODEL.fullmatch(url) is not None


@dataclass(frozen=True, kw_only=True)
class OpenInference:
    """One model of one server; a `Dialect`."""

    url: str  # of the inference
    input: str
    datatype: str
    sizes: Sizes
    output: str
    binary: bool
    form: InputForm
    arrangement: Arrangement
    rows_per_request: int
    num_classes: int | None
    exact: bool = False  # rows of a table: as they are, and FP64 answers stay float64
    method: str = "POST"

    @property
    def takes(self) -> InputPrecision:
        return "uint8" if self.datatype == "UINT8" else "float32"

    @property
    def served(self) -> str:
        way = "binary" if self.binary else "JSON"
        form = "rows of a table" if self.exact else self.arrangement
        return f"Open Inference Protocol v2, {way}, {self.datatype}, {form}"

    def ask(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        values = shaped(self.form.apply(inputs, self.arrangement), self.sizes).numpy()
        if self.datatype == "UINT8":
            values = values.round().clip(0, 255)
        tensor, raw = wire.pack(self.input, self.datatype, values, binary=self.binary)
        wanted = {"binary_data": True} if self.binary else None
        output = wire.RequestedOutput(name=self.output, parameters=wanted)
        body, headers = wire.write(wire.InferenceRequest(inputs=[tensor], outputs=[output]), raw)
        return headers, body

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        try:
            found = self._scores(response)
        except ValueError as error:  # a FrameError, or a header that is no number
            raise VictimError(
                f"{self.url} answered with something that is no inference response ({error})"
            ) from error
        if found.dtype.kind == "i":
            return self._one_hot(found, rows)
        # a trailing (.., 1, 1) is a pooled image of one pixel
        if found.ndim < 2 or found.shape[0] != rows or any(n != 1 for n in found.shape[2:]):
            raise VictimError(
                f"{self.url} answered shape {tuple(found.shape)} to {rows} rows; want ({rows}, "
                "classes)"
            )
        keep = np.float64 if self.exact and found.dtype == np.float64 else np.float32
        return torch.from_numpy(found.astype(keep)).view(rows, -1)

    def _one_hot(self, labels: wire.Array, rows: int) -> Tensor:
        """(rows,) or (rows, 1) numbers of classes -> (rows, K)."""
        if self.num_classes is None:
            raise VictimError(f"{self.url} names classes by number: say how many there are")
        if labels.size != rows or not ((labels >= 0) & (labels < self.num_classes)).all():
            raise VictimError(
                f"{self.url} answered whole numbers of shape {tuple(labels.shape)} to {rows} rows, "
                f"{labels.min(initial=0)} to {labels.max(initial=0)}; want one class a row, 0 to "
                f"{self.num_classes - 1}, or scores: say endpoint.output"
            )
        found = torch.from_numpy(labels.reshape(-1).astype(np.int64))
        return torch.nn.functional.one_hot(found, self.num_classes).float()

    def _scores(self, response: httpx2.Response) -> wire.Array:
        length = response.headers.get(wire.HEAD_LENGTH)
        head_length = None if length is None else int(length)
        message, raws = wire.read(wire.InferenceResponse, response.content, head_length)
        for tensor, raw in zip(message.outputs, raws, strict=True):
            if tensor.name == self.output:
                return wire.unpack(tensor, raw)
        names = ", ".join(repr(tensor.name) for tensor in message.outputs) or "none"
        raise wire.FrameError(f"no output {self.output!r}; it has {names}")


def connect(
    client: httpx2.Client, url: str, settings: EndpointSettings, form: InputForm,
    input_shape: Shape, num_classes: int | None, *, exact: bool = False,
) -> OpenInference:  # fmt: skip
    """Read what the server says of the model, and settle how it is asked. Sends no row.

    Args:
        exact: rows of a table are sent, not images.

    Raises:
        VictimError: it takes another shape, gives another number of classes, or is no such server.
        UnansweredError: nobody answers.
    """
    found = MODEL.fullmatch(url)
    assert found is not None
    origin = found["model"]
    metadata = _metadata(client, origin)
    if not (metadata.inputs or metadata.outputs):
        metadata = _as_told(settings, input_shape, origin, exact=exact)
    takes = _pick("input", settings.input, metadata.inputs, origin)
    gives = _pick("output", settings.output, metadata.outputs, origin)
    if takes.datatype not in TAKES or gives.datatype not in GIVES:
        raise VictimError(
            f"{origin} takes {takes.datatype} and gives {gives.datatype}; only "
            f"{', '.join(TAKES)} are inputs and scores"
        )
    if exact and takes.datatype not in WIDE:
        raise VictimError(
            f"{origin} takes {takes.datatype}, which would round the numbers of a table on the way "
            f"without the ledger's knowing: serve it with {' or '.join(WIDE)}"
        )
    batch, *sizes = takes.shape or [-1]
    if batch > 1:
        raise VictimError(
            f"{origin} takes exactly {batch} rows at a time, and rows that fill a batch up would "
            "be paid for: serve the model with a dynamic batch"
        )
    classes = gives.shape[1] if len(gives.shape) > 1 and gives.datatype not in LABELS else -1
    if num_classes is not None and classes > 0 and classes != num_classes:
        raise VictimError(
            f"{origin} has {classes} classes, the audit {num_classes}: is this its test set, or "
            "give --classes"
        )
    if takes.datatype == "UINT8" and form == InputForm(layout=form.layout):
        form = InputForm(layout=form.layout, pixels="0..255")  # it cannot mean anything else
    row: Sizes = [size if size > 0 else None for size in sizes]
    binary = settings.binary
    if binary is None:
        binary = wire.EXTENSION in _extensions(client, found["server"])
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


def _metadata(client: httpx2.Client, origin: str) -> wire.ModelMetadata:
    response = exchange(client, "GET", origin)
    try:
        return wire.ModelMetadata.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its body"
        raise VictimError(
            f"{origin} is no model under the Open Inference Protocol v2 ({where}: {first['msg']}); "
            "for another API say endpoint.body and endpoint.answers"
        ) from error


def _as_told(
    settings: EndpointSettings, input_shape: Shape, origin: str, *, exact: bool
) -> wire.ModelMetadata:
    """The tensors of a server that says nothing of them, as MLServer's for scikit-learn."""
    if settings.input is None or settings.output is None:
        raise VictimError(
            f"{origin} does not say what it takes and gives: name its tensors as endpoint.input "
            'and endpoint.output (of MLServer\'s scikit-learn "x" and "predict_proba")'
        )
    takes, gives = ("FP64", "FP64") if exact else ("FP32", "FP32")
    return wire.ModelMetadata(
        inputs=[wire.TensorMetadata(name=settings.input, datatype=takes, shape=[-1, *input_shape])],
        outputs=[wire.TensorMetadata(name=settings.output, datatype=gives, shape=[-1, -1])],
    )


def _extensions(client: httpx2.Client, server: str) -> Sequence[str]:
    """What the server can beyond the protocol; a server that does not say can nothing more."""
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
            raise VictimError(f"{origin}: {suggest(what, name, names)}")
        return tensors[names.index(name)]
    if len(tensors) != 1:
        raise VictimError(
            f"{origin} has the {what}s {', '.join(names) or 'none'}: say which one is meant as "
            f"endpoint.{what}"
        )
    return tensors[0]
