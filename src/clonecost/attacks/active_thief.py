"""ActiveThief: selects in rounds, by a surrogate's uncertainty or coverage, which rows to query.

Pal, Gupta, Shukla, Kanade, Shevade, Ganapathy, AAAI 2020, https://arxiv.org/abs/1905.09165.

    1. some random rows of the pool;  y = victim(x)                       one query a row
    2. a surrogate S from scratch on all rows so far;  p(x) = S(x) on the rows left
    3. the next rows:
         uncertainty     the greatest  H(p) = -sum_k p_k log p_k
         k_centre        greedily the farthest from all queried rows, in the space of p
         dfal            the least distance to S's boundary: |x - DeepFool(x)|_2
         dfal+k_centre   k_centre among the rows that dfal ranks first
       y = victim(x), and back to 2                                       one query a row
    4. the clone: a student from scratch on all rows

Differs from the paper: see docs/attacks/active_thief.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.data.part_rows import part
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.query_synthesis.active_selection import boundary_distance, k_centre, probabilities
from clonecost.training.distill import Recipe
from clonecost.training.losses import entropy
from clonecost.training.recipes import shared_recipe, train
from clonecost.types import ProxyData, ThreatModel

Strategy = Literal["uncertainty", "k_centre", "dfal", "dfal+k_centre", "random"]
# Adam 1e-3 with L2 1e-3, batch 150, a fifth of the rows to select the epoch.
PAPER = Recipe(
    optimizer="adam", lr=1e-3, weight_decay=1e-3, batch_size=150, epochs=100,
    schedule="constant", validation=0.2,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ActiveThief:
    """Queries random proxy rows, then rows that `strategy` selects; trains clones from scratch.

    Example:
        >>> ActiveThief(strategy="uncertainty", recipe="shared", round_rows=500)
    """

    strategy: Strategy = "dfal+k_centre"  # selection of rows; random is the baseline
    seed_rows: int = 1_000  # rows drawn at random before the first selection
    round_rows: int = 1_000  # rows selected in a round
    candidates: int = 10_000  # remaining rows drawn anew for each round; all, if fewer remain
    shortlist: float = 4.0  # times round_rows: number of rows that dfal passes to k_centre
    deepfool_steps: int = 3  # steps of DeepFool on each candidate
    deepfool_rivals: int = 3  # likeliest other classes whose boundary DeepFool measures
    round_epochs: int = 20  # epochs of the surrogate in a round
    # training of surrogates and clone; shared: clonecost's own recipe
    recipe: Literal["paper", "shared"] = "paper"
    epochs: int | None = None  # epochs of the clone; None: those of the recipe

    declares: ClassVar = Declaration(
        needs="label", proxy="asked", skips_refused=True, multi_label=True, by_settings=("unfit",)
    )

    def __post_init__(self) -> None:
        at_least(2, self, "seed_rows")  # batch norm
        at_least(1, self, "round_rows", "candidates", "shortlist", "deepfool_steps",
                 "deepfool_rivals", "round_epochs", "epochs")  # fmt: skip

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        if not threat.multi_label or "dfal" not in self.strategy:
            return None
        return SpecError(
            "its dfal measures the distance to the next class, and the victim gives several labels",
            SetKey("set.active_thief.strategy", "uncertainty"), got=self.strategy,
        )  # fmt: skip

    def plan(self, budget: int) -> str:
        rounds = max(0, -(-(budget - self.seed_rows) // self.round_rows))
        return (
            f"queries {min(budget, self.seed_rows):,} random rows of the proxy data, then in "
            f"{rounds:,} rounds up to {self.round_rows:,} rows selected by {self.strategy} (each "
            "row once; ends with the pool), then trains the clone"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        asked: list[Tensor] = []
        answers: list[Tensor] = []
        left = torch.ones(len(pool), dtype=torch.bool)
        selected = [shuffled(left, kit)[: self.seed_rows]]  # rows of the next round

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            rows = torch.cat(asked)[:bought]
            return self.trained_student(pool, rows, torch.cat(answers)[:bought], kit, self.epochs)

        for _ in kit.loop(
            lambda _: len(selected[0]) > 0 and oracle.remaining > 0,
            asked=asked, answers=answers, selected=selected,
        ):  # fmt: skip
            rows = selected[0][: oracle.remaining]
            answers.append(oracle(pool.rows(rows, kit.device), index=rows))
            asked.append(rows)
            yield DeferredClone(clone)
            if oracle.remaining:
                bought = torch.cat(asked)
                left[bought] = False
                selected[0] = self.choose(pool, left, bought, torch.cat(answers), kit)

    def choose(
        self, pool: ProxyData, left: Tensor, asked: Tensor, answers: Tensor, kit: AttackerKit
    ) -> Tensor:
        """(n,) indices into the pool, the first-ranked first."""
        candidates = shuffled(left, kit)[: self.candidates]
        count = min(self.round_rows, len(candidates))
        if self.strategy == "random" or count == 0:
            return candidates[:count]
        student = self.trained_student(pool, asked, answers, kit, self.round_epochs)
        inputs = part(pool.inputs, candidates, kit.device)
        if self.strategy == "uncertainty":
            picks = entropy(probabilities(student, inputs)).topk(count).indices
            return candidates[picks.cpu()]
        if self.strategy != "k_centre":
            distances = boundary_distance(
                student, inputs, steps=self.deepfool_steps, rivals=self.deepfool_rivals,
                progress=kit.progress,
            )  # fmt: skip
            kept = count if self.strategy == "dfal" else int(self.shortlist * count)
            picks = distances.topk(min(kept, len(distances)), largest=False).indices
            candidates = candidates[picks.cpu()]
            if self.strategy == "dfal":
                return candidates
            inputs = part(pool.inputs, candidates, kit.device)
        centres = probabilities(student, part(pool.inputs, asked, kit.device))
        return candidates[k_centre(probabilities(student, inputs), centres, count).cpu()]

    def trained_student(
        self, pool: ProxyData, asked: Tensor, answers: Tensor, kit: AttackerKit,
        epochs: int | None,
    ) -> nn.Module:  # fmt: skip
        """A student trained from scratch on the rows `asked` and their answers."""
        student = kit.new_student()
        paper = PAPER if epochs is None else replace(PAPER, epochs=epochs)
        recipe = paper if self.recipe == "paper" else shared_recipe(student, epochs)
        inputs = part(pool.inputs, asked, kit.device)
        train(student, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return student


def shuffled(left: Tensor, kit: AttackerKit) -> Tensor:
    """(m,) indices where `left`, (n,) bool, is true, in random order, on the CPU."""
    rows = left.nonzero().flatten()
    return rows[torch.randperm(len(rows), generator=kit.rng, device=kit.device).cpu()]


PROFILES = {
    "uncertainty": ActiveThief(strategy="uncertainty"),
    "k_centre": ActiveThief(strategy="k_centre"),
    "dfal": ActiveThief(strategy="dfal"),
    "shared": ActiveThief(recipe="shared"),
}
