"""Open Inference Protocol v2 (KServe, Triton, MLServer, Seldon, OpenVINO) over HTTP.

The model's tensors are read from `GET /v2/models/NAME`. Rows are sent in binary where `GET /v2`
lists the extension `binary_tensor_data`, else as JSON, which is some 30 times as slow.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import httpx2
from pydantic import ValidationError
from torch import Tensor

from clonecost.data.values import listed
from clonecost.errors import Advice, SetKey, SpecError, VictimError, suggest
from clonecost.types import Feature, InputPrecision, Shape, Shown
from clonecost.victims.endpoints import wire
from clonecost.victims.endpoints.answer_reading import COLUMNS
from clonecost.victims.endpoints.calling import Caller, UnansweredError, exchange
from clonecost.victims.endpoints.row_encoding import as_numbers, numeric, width
from clonecost.victims.endpoints.server_words import document_of, error_words
from clonecost.victims.endpoints.settings import EndpointSettings, TableEncoding
from clonecost.victims.endpoints.tensor_answers import NAMED, TensorAnswers
from clonecost.victims.input_form import Arrangement, InputForm, Sizes, in_bytes, shaped

MODEL = re.compile(
    r"(?P<model>(?P<server>[^?#]*/v2)/models/[^/?#]+(/versions/[^/?#]+)?)(/infer)?/?"
)
TAKES = ("FP32", "FP64", "FP16", "UINT8")  # types of an input, and of scores
GIVES = (*TAKES, *NAMED)
WIDE = ("FP32", "FP64")  # types that hold a row of a table without rounding
ROWS = 32  # rows of a request, by default
OURS = "clonecost"  # the platform of `clonecost serve`, which takes categories as indices
CATEGORIES = {"codes": "indices", "one_hot": "one-hot columns", "array": "their numbers"}


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
    answers: TensorAnswers
    binary: bool
    form: InputForm
    arrangement: Arrangement
    rows_per_request: int
    features: Sequence[Feature] | None = None  # of a table
    encoding: TableEncoding = "codes"  # of its categories
    batched: bool = True  # whether the model's tensors have a dimension for the rows
    method: str = "POST"

    @property
    def shows(self) -> Shown | None:
        return self.answers.shows

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.answers.classes)

    @property
    def takes(self) -> InputPrecision:
        return "uint8" if self.datatype == "UINT8" else "float32"

    @property
    def served(self) -> str:
        way = "binary" if self.binary else "JSON"
        form: str = self.arrangement if self.features is None else "rows of a table"
        if any(feature.categories for feature in self.features or ()):
            form += f", categories as {CATEGORIES[self.encoding]}"
        return f"Open Inference Protocol v2, {way}, {self.datatype}, {form}"

    def request(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        rows = self.form.apply(inputs, self.arrangement)
        if self.features is None:
            values = shaped(rows, self.sizes).numpy()
        else:
            values = as_numbers(rows, self.features, self.encoding)
        if not self.batched:
            values = values[0]
        if self.datatype == "UINT8":
            values = values.round().clip(0, 255)
        tensor, raw = wire.pack(self.input, self.datatype, values, binary=self.binary)
        parameters = {"binary_data": True} if self.binary else None
        output = wire.RequestedOutput(name=self.answers.output, parameters=parameters)
        body, headers = wire.write(wire.InferenceRequest(inputs=[tensor], outputs=[output]), raw)
        return headers, body

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        return self.answers.read(response, rows)


def connect(
    client: Caller, url: str, settings: EndpointSettings, form: InputForm,
    input_shape: Shape, num_classes: int | None, *,
    features: Sequence[Feature] | None = None, outputs: str | None = None,
) -> OpenInference:  # fmt: skip
    """Read the model's metadata and choose the requests that fit. Sends no row.

    Args:
        url: the model's address, for which `is_open_inference` holds.
        features: the columns, if rows of a table are sent.
        outputs: the form of the answers, as the owner states it.

    Raises:
        VictimError: the model takes another shape or gives another number of classes, or the
            server has another protocol.
        UnansweredError: the server does not answer.
    """
    address = MODEL.fullmatch(url)
    assert address is not None
    origin = address["model"]
    exact, metadata = features is not None, _metadata(client, origin)
    encoding = _encoding(settings, features, metadata.platform == OURS, origin)
    shape = input_shape if features is None else (width(features, encoding),)
    metadata = _completed(metadata, settings, shape, origin, exact=exact)
    takes = _pick("input", settings.input, metadata.inputs, origin)
    gives = _pick("output", settings.output, metadata.outputs, origin)
    if takes.datatype not in TAKES or gives.datatype not in GIVES:
        raise VictimError(
            f"The types of {origin} do not fit",
            got=f"input {takes.datatype}, output {gives.datatype}",
            want=f"{', '.join(TAKES)}; for an output also {', '.join(NAMED)}",
        )
    if exact and takes.datatype not in WIDE:
        raise VictimError(
            f"{origin} would round the numbers of a table, and the ledger would not show it",
            Advice("serve the model with another input type"), got=takes.datatype,
            want=" or ".join(WIDE),
        )  # fmt: skip
    batch, *sizes = takes.shape or [-1, *shape]
    batched = batch == 1 or min(takes.shape, default=-1) < 1 or prod(takes.shape) != prod(shape)
    if not batched:
        batch, sizes = 1, takes.shape
    if batch > 1:
        raise VictimError(
            f"{origin} takes exactly {batch} rows a request, and rows that pad a batch would be "
            "paid for", Advice("serve the model with a dynamic batch"),
        )  # fmt: skip
    names = tuple(settings.classes) or gives.labels
    known = num_classes or len(names) or None
    classes = gives.shape[1] if len(gives.shape) > 1 and gives.datatype not in NAMED else -1
    for got in (classes if classes > 1 else -1, len(names) or -1):
        if num_classes is not None and got > 0 and got != num_classes:
            raise VictimError(
                f"{origin} has another number of classes than the audit", SetKey("test"),
                SetKey("classes"), got=got, want=num_classes,
            )  # fmt: skip
    if takes.datatype == "UINT8":
        form = in_bytes(form)
    row: Sizes = [size if size > 0 else None for size in sizes]
    binary = settings.binary
    if binary is None:
        binary = wire.EXTENSION in _extensions(client, address["server"])
    label = gives.datatype in NAMED or outputs == "label"
    return OpenInference(
        url=f"{origin}/infer",
        input=takes.name,
        datatype=takes.datatype,
        sizes=row,
        answers=TensorAnswers(
            url=f"{origin}/infer", output=gives.name, classes=names, num_classes=known,
            stated=("label", None) if label else None, exact=exact, quote=client.secrets.excerpt,
            kinds={"scores"} if outputs in COLUMNS else set(),
        ),
        binary=binary,
        form=form,
        arrangement=form.arrangement(row, shape, origin),
        rows_per_request=1 if batch == 1 else settings.batch_size or ROWS,
        features=features,
        encoding=encoding,
        batched=batched,
    )  # fmt: skip


def _encoding(
    settings: EndpointSettings, features: Sequence[Feature] | None, ours: bool, origin: str
) -> TableEncoding:
    """How the categories of a table are sent, as numbers."""
    stated = settings.encoding
    if features is None or stated is None:
        words = [feature.name for feature in features or () if not numeric(feature)]
        if not words or ours:
            return "codes" if ours else "array"
        raise VictimError(
            f"{origin} takes numbers, and columns of the rows are words: {listed(words)}. Only "
            "the owner knows which numbers stand for the words",
            SetKey("endpoint.encoding", "one_hot"), SetKey("endpoint.encoding", "codes"),
            Advice("codes are the words' positions in `features`, from 0 on; one_hot is a column "
                   "of 0 and 1 for each word"),
        )  # fmt: skip
    if stated == "codes" or stated == "one_hot":
        return stated
    if stated == "array" and all(map(numeric, features)):
        return stated
    raise SpecError(
        f"endpoint.encoding does not fit {origin}, which takes numbers",
        SetKey("endpoint.encoding", "one_hot"), SetKey("endpoint.encoding", "codes"),
        got=repr(stated), want="codes or one_hot; array where all categories are numbers",
    )  # fmt: skip


def _metadata(client: Caller, origin: str) -> wire.ModelMetadata:
    response = exchange(client, "GET", origin)
    document = None
    try:
        document = document_of(response.content)
        return wire.ModelMetadata.model_validate(document)
    except (ValueError, RecursionError) as error:
        problem = "its body is no JSON"
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "its body"
            problem = f"{where}: {first['msg']}"
        if said := error_words(document):
            problem = f"it says: {client.secrets.excerpt(said, 200)}"
        raise VictimError(
            f"{origin} is no model under the Open Inference Protocol v2 ({problem})",
            Advice("describe another API with `endpoint.body` and `endpoint.answers`"),
        ) from error


def _completed(
    metadata: wire.ModelMetadata, settings: EndpointSettings, shape: Shape, origin: str, *,
    exact: bool,
) -> wire.ModelMetadata:  # fmt: skip
    """The metadata, with the tensors that the settings name where a server lists none.

    MLServer's server for scikit-learn lists none at all.
    """
    missing = [
        key for key, listed, name in (("input", metadata.inputs, settings.input),
                                      ("output", metadata.outputs, settings.output))
        if not listed and name is None
    ]  # fmt: skip
    if missing:
        raise VictimError(
            f"The metadata of {origin} are empty",
            Advice("name the model's tensors as `endpoint.input` and `endpoint.output` (\"x\" and "
                   '"predict_proba" for scikit-learn on MLServer)'),
        )  # fmt: skip
    datatype = "FP64" if exact else "FP32"

    def named(name: str | None, shape: list[int]) -> list[wire.TensorMetadata]:
        return [wire.TensorMetadata(name=str(name), datatype=datatype, shape=shape)]

    return metadata.model_copy(update={
        "inputs": metadata.inputs or named(settings.input, [-1, *shape]),
        "outputs": metadata.outputs or named(settings.output, [-1, -1]),
    })  # fmt: skip


def _extensions(client: Caller, server: str) -> Sequence[str]:
    """The protocol extensions that the server lists; none if the server gives no list."""
    try:
        response = exchange(client, "GET", server)
        return wire.ServerMetadata.model_validate(document_of(response.content)).extensions
    except (UnansweredError, VictimError, ValueError, RecursionError):
        return []  # a gateway may answer for this address with a fault of its own


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
