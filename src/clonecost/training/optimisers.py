"""torch's optimisers without its compiler.

torch imports `torch._dynamo`, some 2 s, when the first optimiser is made, to keep itself from
compiling the optimiser's methods. Nothing here is compiled, so that these classes take the methods
without that wrapper: the arithmetic, the hooks and the state are torch's.
"""

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch


def _without_compiler(step: Callable[..., Any]) -> Any:
    return torch.no_grad()(unwrap(step))


class _Plain(torch.optim.Optimizer):
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class SGD(_Plain, torch.optim.SGD):
    """`torch.optim.SGD`; `differentiable=True` has no effect."""

    step = _without_compiler(torch.optim.SGD.step)


class Adam(_Plain, torch.optim.Adam):
    """`torch.optim.Adam`; `differentiable=True` has no effect."""

    step = _without_compiler(torch.optim.Adam.step)


class AdamW(_Plain, torch.optim.AdamW):
    """`torch.optim.AdamW`; `differentiable=True` has no effect."""

    step = _without_compiler(torch.optim.AdamW.step)


class LBFGS(_Plain, torch.optim.LBFGS):
    """`torch.optim.LBFGS`."""

    step = _without_compiler(torch.optim.LBFGS.step)
