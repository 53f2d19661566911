"""Few rows of a pool are a tensor, many are read from it."""

import pytest
import torch
from torch import Tensor

from clonecost.data import part_rows
from clonecost.data.part_rows import PartRows, part


def test_many_rows_are_read_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, places = torch.arange(30.0).view(10, 3), torch.tensor([7, 1, 7])
    whole = part(pool, places)
    assert isinstance(whole, Tensor)
    monkeypatch.setattr(part_rows, "IN_MEMORY", 35)  # three rows of three float32 are 36 bytes
    some = part(pool, places)
    assert isinstance(some, PartRows)
    assert torch.equal(some[:], whole)
    assert torch.equal(some[torch.tensor([2, 1])], whole[[2, 1]])
    assert (len(some), some.shape) == (3, (3, 3))
