"""A backbone in an ONNX file, through ONNX Runtime (extra `onnx`): no pickle, any exporter."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clonecost.backbones.backbone import Outside
from clonecost.backbones.catalogue import SIDE
from clonecost.errors import Advice, SpecError
from clonecost.persistence.file_limits import ONNX_FILE, regular_file
from clonecost.persistence.onnx_external import onnx_digest
from clonecost.safe_text import first_line
from clonecost.types import Shape


def onnx_network(path: Path, size: int | None) -> tuple[nn.Module, Shape, str]:
    """The network of an ONNX file, its input shape (C, H, W), and the sha256 of the file.

    A graph with a fixed batch gets batches of that size, the last one padded with zeros. Of several
    outputs the first one counts.

    Args:
        size: of the pictures' side, for a graph that takes any.

    Raises:
        SpecError: ONNX Runtime is missing, the file is broken, or takes no pictures of this size.
        VictimError: it names weights outside of its folder.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SpecError(
            f"ONNX Runtime is missing, which the backbone {path} needs",
            Advice("install it: pip install 'clonecost[onnx]'"),
        ) from error
    if regular_file(path, SpecError) > ONNX_FILE:
        raise SpecError(f"{path} is no ONNX file: it is larger than {ONNX_FILE:,} bytes")
    digest = onnx_digest(path)  # before the runtime opens weights outside of the folder
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # errors are raised as well
    try:
        session: Any = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's exceptions have no other base class
        raise SpecError(f"{path} cannot be loaded as ONNX: {first_line(error)}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    sizes = list(inputs[0].shape)
    if len(inputs) != 1 or len(sizes) != 4 or inputs[0].type != "tensor(float)":
        raise SpecError(
            f"The inputs of the backbone {path} do not fit",
            got=", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs),
            want="one of float32 pixels (n, C, H, W)",
        )  # fmt: skip
    batch, channels, *sides = [n if isinstance(n, int) and n > 0 else None for n in sizes]
    height, width = (side or size or SIDE for side in sides)
    shape = (channels or 3, height, width)
    if size is not None and (height, width) != (size, size):
        raise SpecError(f"The backbone {path} takes pictures of one size only", got=size,
                        want=f"{height} x {width}")  # fmt: skip

    def run(pixels: Tensor) -> Tensor:
        parts = []
        for part in pixels.cpu().split(batch or len(pixels)):
            rows = part.contiguous().numpy()
            if batch and len(rows) < batch:
                rows = torch.cat([part, part.new_zeros(batch - len(part), *part.shape[1:])]).numpy()
            (found,) = session.run([outputs[0].name], {inputs[0].name: rows})
            parts.append(torch.from_numpy(found)[: len(part)])
        return torch.cat(parts)

    return Outside(run), shape, digest
