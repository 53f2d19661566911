"""The optimisers of students that learn while rows are bought."""

import torch
from torch import nn

from clonecost.training.student_optimizer import student_optimizer


def test_sgd_is_the_published_one_and_adam_decays_no_weight() -> None:
    sgd = student_optimizer(nn.Linear(2, 2), "sgd", 0.1)
    assert isinstance(sgd, torch.optim.SGD)
    assert [sgd.defaults[key] for key in ("lr", "momentum", "weight_decay")] == [0.1, 0.9, 5e-4]
    adam = student_optimizer(nn.Linear(2, 2), "adam", 1e-3)
    assert isinstance(adam, torch.optim.Adam)
    assert [adam.defaults[key] for key in ("lr", "weight_decay")] == [1e-3, 0]
