"""What the final clone and the victim predict on each test row, for a comparison of two runs."""

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.evaluation.scoring import Reference, predictions
from clonecost.types import LabelledInputs


def row_scores(clone: nn.Module, reference: Reference, asked: LabelledInputs) -> dict[str, Tensor]:
    """The tensors of `RUN/rows.safetensors`, which `clonecost.report.load_runs` reads.

    Neither inputs nor labels are among them, so that the file tells nothing about the rows but how
    they were classified.

    Args:
        asked: the test set, before the victim refused rows of it.

    Returns:
        agrees: (ceil(n / 8),) uint8, bits: clone and victim give the same class.
        correct: the same bits for the clone's true predictions; absent without labels.
        victim: (n,) int32, the undefended victim's class.
        test: the bytes of the fingerprint of the rows that are scored.
    """
    predicted, victims = predictions(clone, reference), reference.predictions
    # Two runs in which other rows were refused were not scored on the same rows.
    scored = asked if len(reference.test) == len(asked) else reference.test
    tensors = {
        "agrees": _packed(predicted == victims),
        "victim": victims.to("cpu", torch.int32),
        "test": torch.frombuffer(bytearray.fromhex(scored.fingerprint), dtype=torch.uint8),
    }
    if reference.test.labelled:
        tensors["correct"] = _packed(predicted == reference.test.labels)
    return tensors


def _packed(bits: Tensor) -> Tensor:
    """(n,) bool -> (ceil(n / 8),) uint8."""
    return torch.from_numpy(np.packbits(bits.cpu().numpy()))
