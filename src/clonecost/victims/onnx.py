"""ONNX files as victims, through ONNX Runtime (extra `onnx`): no pickle, any exporter."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clonecost.errors import Advice, SetKey, VictimError
from clonecost.persistence.disk import file_digest
from clonecost.persistence.file_limits import ONNX_FILE, regular_file
from clonecost.types import InputPrecision, Shape
from clonecost.victims.input_form import InputForm, Sizes, in_bytes, shaped
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.torch_model import Outputs, first_line, serve

# type of a graph's input -> its conversion from float32
TYPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tensor(float)": lambda values: values,
    "tensor(double)": Tensor.double,
    "tensor(float16)": Tensor.half,
    "tensor(uint8)": lambda values: values.round().clamp(0, 255).to(torch.uint8),
}
SUM_TOLERANCE = 1e-3  # of the sum of probabilities from 1: float16 models are that inexact


class Graph(NamedTuple):
    """The one input of a file's graph, and its class scores."""

    input: str  # the tensor's name
    sizes: Sizes | None  # of one row
    batch: int | None  # fixed number of rows; None: any number
    type: str  # a key of `TYPES`
    output: str  # the tensor's name


def onnx_victim(
    path: Path,
    *,
    input_shape: Shape | None,
    num_classes: int | None,
    outputs: Outputs | None = None,
    form: InputForm | None = None,
    device: torch.device | str = "cpu",
) -> LoadedVictim:
    """Serve an ONNX classifier, on the GPU if `device` is one and this ONNX Runtime can.

    A graph with a fixed batch runs on batches of that size, the last one padded with zeros. Its
    answer to a grey image shows whether it gives logits or probabilities (no query is charged for
    a local file); `outputs` overrules that. A weight file beside the graph (`NAME.onnx.data`,
    `NAME.onnx_data`) is part of the digest.

    Args:
        input_shape: (C, H, W) or (d,).
        num_classes: the expected number; None: the graph's own.

    Raises:
        VictimError: ONNX Runtime, the file or `input_shape` is missing, the graph is broken, takes
            another shape or gives another number of classes.

    Example:
        >>> victim = onnx_victim(Path("model.onnx"), input_shape=(3, 32, 32), num_classes=10)
    """
    form = form or InputForm()
    if regular_file(path, VictimError) > ONNX_FILE:
        raise VictimError(
            f"{path} is no ONNX file: it is larger than {ONNX_FILE:,} bytes",
            Advice("save its weights beside it, as external data"),
        )
    if input_shape is None:
        raise VictimError(f"The input shape of {path} is missing", SetKey("shape"))
    form.check(input_shape[0])
    session = _session(path, torch.device(device))
    graph = _read(session, path)
    if graph.type == "tensor(uint8)":
        form = in_bytes(form)
    arrangement = form.arrangement(graph.sizes, input_shape, str(path))

    def forward(inputs: Tensor) -> Tensor:
        values = TYPES[graph.type](shaped(form.apply(inputs, arrangement), graph.sizes))
        rows = len(values)
        if graph.batch is not None and rows < graph.batch:
            padding = values.new_zeros(graph.batch - rows, *values.shape[1:])
            values = torch.cat([values, padding])
        (scores,) = session.run([graph.output], {graph.input: values.numpy()})
        return torch.from_numpy(scores)[:rows].float()

    victim_of = lambda kind: serve(forward, outputs=kind, device="cpu", batch_size=graph.batch)  # noqa: E731
    grey = victim_of("probs")(torch.full((1, *input_shape), 0.5))
    if num_classes not in (None, grey.shape[1]):
        raise VictimError(
            f"{path} has another number of classes than the audit", SetKey("class_names"),
            SetKey("test"), SetKey("classes"), got=grey.shape[1], want=num_classes,
        )  # fmt: skip
    detected = _kind(grey)
    if (outputs, detected) == ("probs", "logits"):
        raise VictimError(
            f"The answer of {path} to a grey image is no probabilities",
            SetKey("outputs", "logits"), got=_first_values(grey),
        )  # fmt: skip
    kind = outputs or detected
    reason = "as set" if outputs else "as a grey image shows"
    processor = session.get_providers()[0].removesuffix("ExecutionProvider")
    precision: InputPrecision = "uint8" if graph.type == "tensor(uint8)" else "float32"
    return LoadedVictim(
        name=path.name,
        answer=victim_of(kind),
        input_shape=input_shape,
        num_classes=grey.shape[1],
        weights=_digest(path),
        served=f"ONNX Runtime on {processor}, {arrangement}, gives {kind} ({reason})",
        takes=precision,
    )


def _session(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise VictimError(
            f"ONNX Runtime is missing, which {path} needs",
            Advice("install it: pip install 'clonecost[onnx]' (or onnxruntime-gpu)"),
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # errors are raised as well
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no other base class
        raise VictimError(f"{path} cannot be loaded as ONNX: {first_line(error)}") from error


def _read(session: Any, path: Path) -> Graph:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type not in TYPES:
        got = ", ".join(f"{one.name} {one.type}" for one in inputs)
        raise VictimError(f"The inputs of {path} do not fit", got=got,
                          want=f"one of type {', '.join(TYPES)}")  # fmt: skip
    scores = [one for one in outputs if one.type in TYPES and len(one.shape or [0, 0]) == 2]
    if len(scores) != 1:
        got = ", ".join(f"{one.name} {one.type} {one.shape}" for one in outputs)
        of_skl2onnx = [Advice("with skl2onnx, export with options={'zipmap': False}")]
        raise VictimError(
            f"The outputs of {path} do not fit",
            Advice("export the model with its scores as the only output"),
            *(of_skl2onnx if "seq(map" in got else []),
            got=got, want="exactly one of shape (n, classes)",
        )  # fmt: skip
    batch, *sizes = inputs[0].shape or [None]
    return Graph(
        input=inputs[0].name,
        sizes=[size if isinstance(size, int) else None for size in sizes] or None,
        batch=batch if isinstance(batch, int) and batch > 0 else None,
        type=inputs[0].type,
        output=scores[0].name,
    )


def _kind(answer: Tensor) -> Outputs:
    near_one = bool(((answer.sum(1) - 1).abs() < SUM_TOLERANCE).all())
    return "probs" if near_one and bool((answer >= 0).all()) else "logits"


def _first_values(answer: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in answer[0, :4].tolist()) + ", ..."


def _digest(path: Path) -> str:
    """sha256 of the file; with a weight file, of the two digests one after the other."""
    beside = [path.with_name(path.name + end) for end in (".data", "_data")]
    digests = [file_digest(file) for file in (path, *beside) if file.is_file()]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
