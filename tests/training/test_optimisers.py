"""The optimisers do what torch's do, to the last bit, and import no compiler."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import clonecost
from clonecost.training import optimisers

SETTINGS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "fused": True},
    "Adam": {"lr": 0.1, "betas": (0.5, 0.999), "fused": True},
    "AdamW": {"lr": 0.1, "weight_decay": 0.01, "fused": True},
    "LBFGS": {"max_iter": 4, "line_search_fn": "strong_wolfe"},
}
every_optimiser = pytest.mark.parametrize("name", SETTINGS)


def trained(kind: Any, settings: dict[str, Any]) -> tuple[list[torch.Tensor], Any]:
    torch.manual_seed(0)
    network, rows = nn.Linear(5, 3), torch.rand(20, 5)
    optimiser = kind(network.parameters(), **settings)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = network(rows).square().mean()
        total.backward()
        return total

    for step in range(6):
        optimiser.step(loss)
        if step == 2:  # a snapshot
            state = optimiser.state_dict()
            optimiser = kind(network.parameters(), **settings)
            optimiser.load_state_dict(state)
    return [p.detach() for p in network.parameters()], optimiser.state_dict()


@every_optimiser
def test_weights_and_state_are_torchs(name: str) -> None:
    ours, state = trained(getattr(optimisers, name), SETTINGS[name])
    theirs, their_state = trained(getattr(torch.optim, name), SETTINGS[name])
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert str(state) == str(their_state)


@every_optimiser
def test_the_compiler_is_not_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import of it is an error
    trained(getattr(optimisers, name), SETTINGS[name])


def test_the_program_makes_no_other_optimiser() -> None:
    source = Path(clonecost.__file__).parent
    made = re.compile(r"torch\.optim import (SGD|Adam|LBFGS)|torch\.optim\.(SGD|AdamW?|LBFGS)\(")
    files = [f for f in source.rglob("*.py") if made.search(f.read_text(encoding="utf-8"))]
    assert files == []
