"""ONNX files with one input of strings as victims of texts (extra `onnx`)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clonecost.errors import VictimError
from clonecost.persistence.file_limits import ONNX_FILE, regular_file
from clonecost.persistence.onnx_external import onnx_digest
from clonecost.types import Shape
from clonecost.victims.answer_form import Outputs
from clonecost.victims.asking import asked
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.onnx import TYPES, Sessions
from clonecost.victims.onnx_names import names_of
from clonecost.victims.text_scores import text_scores

STRINGS = "tensor(string)"


def onnx_text_victim(
    path: Path, *, input_shape: Shape, num_classes: int | None, outputs: Outputs | None = None
) -> LoadedVictim:
    """Serve an ONNX classifier of strings: an input (n,) or (n, 1), and one output of scores.

    A graph that takes one string at a time is run for each text.

    Args:
        input_shape: (bytes,) of a row.

    Raises:
        VictimError: ONNX Runtime or the file is missing, the graph is broken, takes no strings, or
            has not exactly one output of scores.

    Example:
        >>> onnx_text_victim(Path("spam.onnx"), input_shape=(200,), num_classes=2)
    """
    if regular_file(path, VictimError) > ONNX_FILE:
        raise VictimError(f"{path} is no ONNX file: it is larger than {ONNX_FILE:,} bytes")
    digest = onnx_digest(path)
    sessions = Sessions(path, torch.device("cpu"), digest)
    session = sessions.now()
    inputs, given = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != STRINGS:
        got = ", ".join(f"{one.name} {one.type}" for one in inputs)
        raise VictimError(f"{path} takes no texts, and the test rows are texts", got=got,
                          want=f"one input of type {STRINGS}")  # fmt: skip
    scores = [one for one in given if one.type in TYPES and len(one.shape or [0, 0]) in (1, 2)]
    if len(scores) != 1:
        got = ", ".join(f"{one.name} {one.type} {one.shape}" for one in given)
        raise VictimError(f"The outputs of {path} do not fit", got=got,
                          want="exactly one of shape (n, classes)")  # fmt: skip
    name, output = inputs[0].name, scores[0].name
    sizes = list(inputs[0].shape or [None])
    one_by_one = sizes[0] == 1

    def run(texts: list[str]) -> Any:
        rows = np.array(texts, object).reshape([len(texts)] + [1] * (len(sizes) - 1))
        parts = [rows[k : k + 1] for k in range(len(rows))] if one_by_one else [rows]
        return np.concatenate([sessions.now().run([output], {name: part})[0] for part in parts])

    found = asked(
        text_scores(run), where=str(path), outputs=outputs, num_classes=num_classes, local=False
    )
    shown = scores[0].shape[-1] if scores[0].shape else None
    classes = shown if isinstance(shown, int) and shown > 1 else num_classes
    return LoadedVictim(
        name=path.name, answer=found.answer, input_shape=input_shape, num_classes=classes,
        classes=names_of(session.get_modelmeta().custom_metadata_map, classes) if classes else (),
        weights=digest, served="ONNX Runtime on CPU, texts", form=found.form, shows=found.shows,
    )  # fmt: skip
