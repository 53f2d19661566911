"""Recovery by network: a small network learns which clean answer a served one stands for."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.countermeasures._simulation import Recovery, Refitted, pairs
from clonecost.countermeasures.base import (
    Declaration,
    Known,
    View,
    cannot_be_simulated,
    out_of_range,
)
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.training.losses import l1
from clonecost.training.optimisers import SGD
from clonecost.types import ThreatModel

# hidden layers by the largest number of classes
WIDTHS = ((10, (128, 64)), (43, (512, 256)), (100, (1024, 512)))
WIDEST = (2048, 1024)


@dataclass(frozen=True, kw_only=True)
class RecoveryNet:
    """Train a network from served to clean answers, on answers that the attacker simulates.

    The simulation is that of `recovery_table` with its honest prior. No extra query. The released
    code trains for 200 epochs; for ten classes 20 show the effect.

    Source: Tang et al., USENIX Security 2024, "ModelGuard", the attack called D-DAE+ there.

    Raises:
        SpecError: a setting is out of range.

    Example:
        >>> RecoveryNet(epochs=5).view(oracle, known)(rows)  # doctest: +SKIP
        tensor([[0.88, 0.08, 0.04]])
    """

    rows: int = 50_000  # simulated answers
    epochs: int = 20  # of the network's training
    batch_size: int = 1_024  # simulated answers per step of the training
    lr: float = 0.01  # of SGD with momentum 0.9; halved after half of the epochs

    declares: ClassVar = Declaration(simulates=True)

    def __post_init__(self) -> None:
        if not 100 <= self.rows <= 10_000_000:
            raise out_of_range(self, "rows", "100 to 10000000")
        if not 1 <= self.epochs <= 1_000:
            raise out_of_range(self, "epochs", "1 to 1000")
        if not 2 <= self.batch_size <= self.rows:
            raise out_of_range(self, "batch_size", "2 to `rows`")
        if not 0 < self.lr <= 1:
            raise out_of_range(self, "lr", "above 0 to 1")

    @property
    def repeats(self) -> int:
        return 1

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        return cannot_be_simulated("recovery_net", known, threat)

    def view(self, oracle: Oracle, known: Known) -> View:
        fit = partial(self._fit, known=known, threat=oracle.threat)
        return View(oracle, made=Refitted(fit))

    def _fit(self, centres: Tensor, *, known: Known, threat: ThreatModel) -> Recovery:
        clean, served = (part.float() for part in pairs(centres, self.rows, known, threat))
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(known.seed)
            net = _network(clean.shape[1]).to(clean.device)
            self._train(net, served, clean)
        net.eval().requires_grad_(False)
        return lambda answers: net(answers.float()).softmax(1).to(answers.dtype)

    def _train(self, net: nn.Module, served: Tensor, clean: Tensor) -> None:
        optimizer = SGD(net.parameters(), lr=self.lr, momentum=0.9, weight_decay=1e-4)
        halves = max(1, self.epochs // 2)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, halves, 0.5)
        for _ in range(self.epochs):
            order = torch.randperm(len(served)).to(served.device)
            for rows in order.split(self.batch_size):
                if len(rows) < 2:  # batch norm needs two rows
                    continue
                loss = l1(net(served[rows]), clean[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scheduler.step()


def _network(classes: int) -> nn.Module:
    """Batch norm and LeakyReLU after each linear layer, also the last; logits."""
    first, second = next((widths for most, widths in WIDTHS if classes <= most), WIDEST)
    sizes = [classes, first, second, classes]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)
