"""The optimiser of a student that is trained while rows are bought."""

from typing import Literal

import torch
from torch import nn

from clonecost.training.optimisers import SGD, Adam

StudentOptimizer = Literal["sgd", "adam"]


def student_optimizer(
    student: nn.Module, kind: StudentOptimizer, lr: float
) -> torch.optim.Optimizer:
    """SGD as DFME, MAZE and their followers publish it, or Adam without weight decay.

    Args:
        student: one network, or several that are trained together.
        kind: sgd: momentum 0.9, weight decay 5e-4. adam: learns from far fewer steps, which is what
            a small query budget leaves.

    Example:
        >>> student_optimizer(nn.Linear(2, 2), "adam", 1e-3).defaults["lr"]
        0.001
    """
    if kind == "adam":
        return Adam(student.parameters(), lr=lr, fused=True)
    return SGD(student.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, fused=True)
