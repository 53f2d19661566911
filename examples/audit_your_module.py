"""Audit a PyTorch module of your own: what does a clone cost, and which flags does the run raise?

Run it: python examples/audit_your_module.py. It writes runs/example-module/.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

import clonecost as cc

SHAPE = (1, 8, 8)  # (C, H, W) of the images; pixels are in [0, 1]


class YourModel(nn.Module):
    """A stand-in: any module that maps (n, C, H, W) pixels in [0, 1] to (n, K) logits will do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels)


def train(model: nn.Module) -> None:
    """300 full-batch steps of Adam on scikit-learn's digits: a few seconds."""
    data = cc.load("digits", "train", shape=SHAPE)
    pixels = data.rows(slice(None))  # float32 in [0, 1]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(pixels), data.labels).backward()
        optimiser.step()


def main() -> None:
    torch.manual_seed(0)
    model = YourModel()
    train(model)
    audit = cc.Audit(
        victim=model,
        threat=cc.ThreatModel(input_shape=SHAPE, num_classes=10, query_budget=2_000),
        attack=cc.ExNihilo(epochs=30),  # the attacker owns no data
        test=cc.load("digits", "test", shape=SHAPE),  # what agreement is measured on
        student=YourModel,  # the attacker trains this network; or a name such as "lenet"
        price=1.5,  # USD for 1,000 queries
        out=Path("runs/example-module"),
    )
    result = cc.run_audit(audit)
    print(cc.headline(result))
    for flag in result.flags:
        print(f"{flag.severity}: {flag.code}")


if __name__ == "__main__":
    main()
