"""What the final clone and the victim predict on each test row, for a comparison of two runs."""

import torch
from torch import Tensor, nn

from clonecost.evaluation.scoring import Reference, predictions


def row_scores(clone: nn.Module, reference: Reference, *, test: str) -> dict[str, Tensor]:
    """The tensors of `RUN/rows.safetensors`, which `clonecost.report.load_runs` reads.

    Neither inputs nor labels are among them, so that the file tells nothing about the rows but how
    they were classified.

    Args:
        test: the fingerprint of the test set, hex digits.

    Returns:
        agrees: (ceil(n / 8),) uint8, bits: clone and victim give the same class.
        correct: the same bits for the clone's true predictions; absent without labels.
        victim: (n,) int32, the undefended victim's class.
        test: the fingerprint's bytes.
    """
    predicted, victims = predictions(clone, reference), reference.predictions
    tensors = {
        "agrees": _packed(predicted == victims),
        "victim": victims.to("cpu", torch.int32),
        "test": torch.frombuffer(bytearray.fromhex(test), dtype=torch.uint8),
    }
    if reference.test.labelled:
        tensors["correct"] = _packed(predicted == reference.test.labels)
    return tensors


def _packed(bits: Tensor) -> Tensor:
    """(n,) bool -> (ceil(n / 8),) uint8, the first row in the highest bit, as NumPy unpacks."""
    n = len(bits)
    padded = torch.zeros(-(-n // 8) * 8, dtype=torch.uint8)
    padded[:n] = bits.to("cpu", torch.uint8)
    places = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)
    return (padded.view(-1, 8) * places).sum(1, dtype=torch.uint8)
