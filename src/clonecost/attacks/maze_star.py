"""MAZE*: runs DFME's loop with MAZE's constants, as DFME's authors did for comparison.

Truong, Maini, Walls, Papernot, CVPR 2021, https://arxiv.org/abs/2011.14779.

    G step     KL(V || S) instead of l1 on logits, m = 10 directions, SGD       B (m + 1) queries
    S steps    the same KL on five fresh batches, nothing replayed              5 B queries

DFME's, not MAZE's, are the generator, the steps of the learning rates, the missing replay memory
and the use of each batch once. One iteration costs 128 (11 + 5) = 2,048 queries. maze.py has the
method of MAZE's own paper. Differs from the released code: see docs/attacks/maze_star.md.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from clonecost.attacks.dfme import PROFILES as DFME_PROFILES
from clonecost.attacks.dfme import Dfme
from clonecost.training.optimisers import SGD


@dataclass(frozen=True, kw_only=True)
class MazeStar(Dfme):
    """DFME with MAZE's batch, directions, loss and optimisers.

    Example:
        >>> MazeStar(batch_size=64, directions=4, generator_width=16)
    """

    batch_size: int = 128  # B, images of a batch
    directions: int = 10  # m, random directions of a gradient estimate
    loss: Literal["l1", "kl"] = "kl"  # distance between the victim's answers and the student's

    def generator_optimizer(self, generator: nn.Module) -> torch.optim.Optimizer:
        return SGD(
            generator.parameters(), lr=self.generator_lr, momentum=0.9, weight_decay=5e-4,
            fused=True,
        )  # fmt: skip


# The wiring, pixel statistics and decays of DFME's released scripts.
def _as_dfme(profile: str) -> MazeStar:
    made = DFME_PROFILES[profile]
    return MazeStar(wiring=made.wiring, decay_at=made.decay_at, mean=made.mean, std=made.std)


PROFILES = {
    "cifar10": _as_dfme("cifar10"),
    "svhn": _as_dfme("svhn"),
    # chosen for 10,000 to 100,000 queries: docs/small_budgets.md
    "small-budget": MazeStar(batch_size=16, replay_steps=20, student_lr=0.03, generator_lr=1e-2),
}
