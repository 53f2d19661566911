"""ONNX files through ONNX Runtime (extra `onnx`): no pickle, no framework, any exporter."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.persistence.disk import file_digest
from clonecost.types import InputPrecision, Shape
from clonecost.victims.input_form import InputForm, Sizes, shaped
from clonecost.victims.loaded_victim import LoadedVictim, must_exist
from clonecost.victims.torch_model import Outputs, serve

# what a graph may take -> how it is made from float32
TYPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tensor(float)": lambda values: values,
    "tensor(double)": Tensor.double,
    "tensor(float16)": Tensor.half,
    "tensor(uint8)": lambda values: values.round().clamp(0, 255).to(torch.uint8),
}
ON_A_SIMPLEX = 1e-3  # how far from a sum of 1 probabilities may be: float16 models are


class Graph(NamedTuple):
    """What a file says of its one input and its class scores."""

    input: str
    sizes: Sizes | None  # of one row
    batch: int | None  # rows that it takes at once; None: any number
    type: str
    output: str


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

    A graph with a fixed batch is asked in batches of that size, the last one padded with zeros.
    Whether it gives logits or probabilities is read off its answer to a grey image, which costs
    nothing because the file is here; `outputs` overrules that. A weight file beside the graph
    (`NAME.onnx.data`, `NAME.onnx_data`) is part of the digest.

    Raises:
        VictimError: ONNX Runtime or the file is missing, the graph is broken, takes another shape
            or gives another number of classes.
    """
    form = form or InputForm()
    must_exist(path)
    if input_shape is None:
        raise VictimError(f"{path} needs to know the shape of its inputs: give input_shape")
    form.check(input_shape[0])
    session = _session(path, torch.device(device))
    graph = _read(session, path)
    if graph.type == "tensor(uint8)" and form == InputForm(layout=form.layout):
        form = InputForm(layout=form.layout, pixels="0..255")  # it cannot mean anything else
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
            f"{path} has {grey.shape[1]} classes, the audit {num_classes}: is this its test set, "
            "or give --classes"
        )
    found = _kind(grey)
    if (outputs, found) == ("probs", "logits"):
        raise VictimError(
            f"{path} answers a grey image with {_few(grey)}, which are no probabilities: say "
            "`--outputs logits`"
        )
    kind = outputs or found
    said = "as told" if outputs else "as a grey image shows"
    place = session.get_providers()[0].removesuffix("ExecutionProvider")
    precision: InputPrecision = "uint8" if graph.type == "tensor(uint8)" else "float32"
    return LoadedVictim(
        name=path.name,
        answer=victim_of(kind),
        input_shape=input_shape,
        num_classes=grey.shape[1],
        weights=_digest(path),
        served=f"ONNX Runtime on {place}, {arrangement}, gives {kind} ({said})",
        takes=precision,
    )


def _session(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise VictimError(
            f"{path} needs ONNX Runtime: pip install 'clonecost[onnx]' (or onnxruntime-gpu)"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised as well
    wanted: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        wanted.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=wanted)
    except Exception as error:  # its own classes have no base but Exception
        raise VictimError(f"{path} cannot be loaded as ONNX: {_first_line(error)}") from error


def _read(session: Any, path: Path) -> Graph:
    takes, gives = session.get_inputs(), session.get_outputs()
    if len(takes) != 1 or takes[0].type not in TYPES:
        has = ", ".join(f"{one.name} {one.type}" for one in takes)
        raise VictimError(
            f"{path} has the inputs {has}; it must have one of type {', '.join(TYPES)}"
        )
    scores = [one for one in gives if one.type in TYPES and len(one.shape or [0, 0]) == 2]
    if len(scores) != 1:
        has = ", ".join(f"{one.name} {one.type} {one.shape}" for one in gives)
        raise VictimError(
            f"{path} has the outputs {has}; exactly one must be scores of shape (n, classes): "
            "export the model with that one only"
            + (", or by skl2onnx with options={'zipmap': False}" if "seq(map" in has else "")
        )
    batch, *sizes = takes[0].shape or [None]
    return Graph(
        input=takes[0].name,
        sizes=[size if isinstance(size, int) else None for size in sizes] or None,
        batch=batch if isinstance(batch, int) and batch > 0 else None,
        type=takes[0].type,
        output=scores[0].name,
    )


def _kind(answer: Tensor) -> Outputs:
    near_one = bool(((answer.sum(1) - 1).abs() < ON_A_SIMPLEX).all())
    return "probs" if near_one and bool((answer >= 0).all()) else "logits"


def _few(answer: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in answer[0, :4].tolist()) + ", ..."


def _digest(path: Path) -> str:
    """sha256 of the file; with weights beside it, of the two digests one after the other."""
    beside = [path.with_name(path.name + end) for end in (".data", "_data")]
    found = [file_digest(file) for file in (path, *beside) if file.is_file()]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
