"""Answers come back from a ledger's bytes as they were."""

import pytest
import torch
from torch.nn import functional as F

from clonecost.oracle.tensor_codec import decode, encode


@pytest.mark.parametrize("classes", [2, 10_000, 32_768, 32_769, 40_000])
def test_labels_of_any_number_of_classes_come_back(classes: int) -> None:
    answers = F.one_hot(torch.tensor([0, classes - 1]), classes).float()
    refused = torch.cat([answers, torch.zeros(1, classes)])
    encoding, blob = encode(refused, labels_only=True)
    assert torch.equal(decode(encoding, blob, classes), refused)
