"""A network that is trained to be wrong."""

import math

import pytest
import torch
from torch import nn

from clonecost.training.misinformation import misinformation_loss, train_to_be_wrong


def test_the_loss_is_small_where_the_class_is_avoided() -> None:
    logits = torch.tensor([[100.0, 0.0], [0.0, 100.0], [0.0, 0.0]])
    found = misinformation_loss(logits, torch.tensor([0, 0, 1]))
    assert found.tolist() == pytest.approx([-math.log(1e-7), 0, math.log(2)], abs=1e-4)


def test_it_learns_to_avoid_a_class_that_it_would_have_given() -> None:
    rng = torch.Generator().manual_seed(0)
    inputs = torch.rand(129, 1, 4, 4, generator=rng)  # a last batch of one row is left out
    bright = (inputs.mean((1, 2, 3)) > 0.5).long()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Linear(16, 2))
    share = train_to_be_wrong(net, inputs, bright, epochs=40, lr=0.1, rng=rng)
    assert share < 0.25  # half of them without a training
    assert not net.training
    with torch.no_grad():
        assert int((net(inputs).argmax(1) == bright).sum()) / 129 == share
