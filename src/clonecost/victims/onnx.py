"""ONNX files as victims, through ONNX Runtime (extra `onnx`): no pickle, any exporter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clonecost.errors import Advice, SetKey, VictimError
from clonecost.persistence.file_limits import ONNX_FILE, regular_file
from clonecost.persistence.onnx_external import onnx_digest
from clonecost.safe_text import first_line
from clonecost.types import InputPrecision, Shape
from clonecost.victims.answer_form import Outputs
from clonecost.victims.asking import asked
from clonecost.victims.input_form import InputForm, Sizes, in_bytes, shaped
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.onnx_names import names_of
from clonecost.victims.probe_rows import probe_rows
from clonecost.victims.raw_scores import SCORES, Wanted
from clonecost.victims.torch_model import scores_of

# type of a graph's input -> its conversion from float32
TYPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tensor(float)": lambda values: values,
    "tensor(double)": Tensor.double,
    "tensor(float16)": Tensor.half,
    "tensor(uint8)": lambda values: values.round().clamp(0, 255).to(torch.uint8),
}
LABELS = ("tensor(int64)", "tensor(int32)", "tensor(string)")  # types of an output of classes


class Graph(NamedTuple):
    """The one input of a file's graph, and its class scores."""

    input: str  # the tensor's name
    sizes: Sizes | None  # of one row
    batch: int | None  # fixed number of rows; None: any number
    type: str  # a key of `TYPES`
    output: str  # the tensor's name
    label: str | None  # the tensor with the predicted class, beside the scores


def onnx_victim(
    path: Path,
    *,
    input_shape: Shape | None,
    num_classes: int | None,
    outputs: Outputs | None = None,
    output: str | None = None,
    form: InputForm | None = None,
    device: torch.device | str = "cpu",
) -> LoadedVictim:
    """Serve an ONNX classifier, on the GPU if `device` is one and this ONNX Runtime can.

    A graph with a fixed batch runs on batches of that size, the last one padded with zeros. A few
    rows show what it gives (no query is charged for a local file). Weights in files beside the
    graph are part of the digest.

    Args:
        input_shape: (C, H, W) or (d,).
        num_classes: the expected number; None: the graph's own.
        outputs: what the graph gives; checked against the rows.
        output: the name of the output that holds the scores; None: the only one that can, else the
            one that is named so (`SCORES`) or has `num_classes` columns.

    Raises:
        VictimError: ONNX Runtime, the file or `input_shape` is missing, the graph is broken, takes
            another shape, gives another number of classes, or scores that contradict its labels;
            or it is not clear what it gives.

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
    digest = onnx_digest(path)  # before the runtime opens weights outside of the folder
    sessions = Sessions(path, torch.device(device), digest)
    session = sessions.now()
    graph = _read(session, path, Wanted(output, num_classes))
    if graph.type == "tensor(uint8)":
        form = in_bytes(form)
    arrangement = form.arrangement(graph.sizes, input_shape, str(path))

    def run(output: str, inputs: Tensor) -> Any:
        values = TYPES[graph.type](shaped(form.apply(inputs, arrangement), graph.sizes))
        rows = len(values)
        if graph.batch is not None and rows < graph.batch:
            padding = values.new_zeros(graph.batch - rows, *values.shape[1:])
            values = torch.cat([values, padding])
        (found,) = sessions.now().run([output], {graph.input: values.numpy()})
        return found[:rows]

    scores = scores_of(lambda inputs: run(graph.output, inputs), batch_size=graph.batch)
    found = asked(
        scores, where=str(path), outputs=outputs, num_classes=num_classes, input_shape=input_shape,
    )  # fmt: skip
    answer_form = found.form()
    assert answer_form is not None
    if graph.label is not None:
        rows, label = probe_rows(input_shape), graph.label
        chunks = rows.split(graph.batch or len(rows))
        labels = np.concatenate([np.asarray(run(label, c)).reshape(-1) for c in chunks])
        _check_labels(found.answer(rows).argmax(1).numpy(), labels, path)
    processor = session.get_providers()[0].removesuffix("ExecutionProvider")
    precision: InputPrecision = "uint8" if graph.type == "tensor(uint8)" else "float32"
    return LoadedVictim(
        name=path.name,
        answer=found.answer,
        input_shape=input_shape,
        num_classes=answer_form.num_classes,
        classes=names_of(session.get_modelmeta().custom_metadata_map, answer_form.columns),
        weights=digest,
        served=f"ONNX Runtime on {processor}, {arrangement}",
        form=found.form,
        shows=found.shows,
        free_rows=True,
        takes=precision,
    )


class Sessions:
    """The session of a file; another one when torch computes with another number of threads.

    ONNX Runtime fixes the number when a session opens, and a run chooses its own later.
    """

    def __init__(self, path: Path, device: torch.device, digest: str) -> None:
        self._path, self._device, self._digest = path, device, digest
        self._threads, self._session = 0, None

    def now(self) -> Any:
        """The session with torch's number of threads.

        Raises:
            VictimError: the file has changed since it was loaded, or cannot be loaded.
        """
        threads = torch.get_num_threads()
        if threads != self._threads:
            if self._threads and onnx_digest(self._path) != self._digest:
                raise VictimError(f"{self._path} has changed since it was loaded",
                                  Advice("run it again with the file as it was"))  # fmt: skip
            self._session, self._threads = _session(self._path, self._device), threads
        return self._session


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


def _read(session: Any, path: Path, wanted: Wanted) -> Graph:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type not in TYPES:
        got = ", ".join(f"{one.name} {one.type}" for one in inputs)
        raise VictimError(f"The inputs of {path} do not fit", got=got,
                          want=f"one of type {', '.join(TYPES)}")  # fmt: skip
    scores = _chosen(
        [one for one in outputs if one.type in TYPES and _holds_scores(one.shape)], wanted
    )
    if wanted.name is not None and not scores:
        raise VictimError(
            f"{path} has no output {wanted.name!r} of class scores", SetKey("output"),
            got=_listed(outputs),
        )  # fmt: skip
    labels = [one for one in outputs if one.type in LABELS]
    if not scores and len(labels) == 1 and labels[0].type != "tensor(string)":
        scores, labels = labels, []
    if len(scores) != 1:
        got = _listed(outputs)
        of_skl2onnx = [Advice("with skl2onnx, export with options={'zipmap': False}")]
        raise VictimError(
            f"The outputs of {path} do not fit",
            *(SetKey("output", one.name) for one in scores[:5]),
            *([] if scores else [Advice("export the model with its scores as an output")]),
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
        label=labels[0].name if len(labels) == 1 else None,
    )


def _chosen(outputs: list[Any], wanted: Wanted) -> list[Any]:
    """The outputs that may be the scores: one, where its name or its columns tell it apart."""
    if wanted.name is not None:
        return [one for one in outputs if one.name == wanted.name]
    if len(outputs) < 2:
        return outputs
    # PyTorch's exporter calls a named output so; others write "StatefulPartitionedCall:0"
    by_name = {one.name.lower(): one for one in outputs}
    named = [by_name[name] for name in SCORES if name in by_name]
    fitting = [one for one in outputs if one.shape[1:2] == [wanted.columns]]
    return named[:1] or (fitting if len(fitting) == 1 else outputs)


def _listed(outputs: list[Any]) -> str:
    return ", ".join(f"{one.name} {one.type} {one.shape}" for one in outputs)


def _holds_scores(shape: Any) -> bool:
    """Whether (n, K) scores can have this shape, with or without trailing ones."""
    return len(shape or [0, 0]) in (1, 2) or all(side == 1 for side in shape[2:])


def _check_labels(best: Any, labels: Any, path: Path) -> None:
    """Refuse scores whose best class is another than the graph's own label on most rows.

    Labels are numbers of classes from 0 or from 1, or other values in the order of the classes.
    """
    readings = []
    if labels.dtype.kind in "iu":
        readings = [labels, labels - 1]
    values, ranks = np.unique(labels, return_inverse=True)
    if len(values) > int(best.max(initial=0)):  # every class was predicted
        readings.append(ranks)
    agreeing = [int((reading == best).sum()) for reading in readings]
    if agreeing and max(agreeing) < len(best) / 2:
        raise VictimError(
            f"The scores of {path} contradict its own label output: on {len(best) - max(agreeing)} "
            f"of {len(best)} rows the highest score is of another class than the label, as in "
            "files that skl2onnx makes of an SVC",
            Advice("export the model with probabilities (SVC(probability=True)), or with its label "
                   "as the only output"),
        )  # fmt: skip
