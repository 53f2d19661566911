"""Finds the thresholds of boosted trees or a forest, then fits trees to bought rows in their bins.

No publication: the steps are ours. A model of trees is constant between thresholds:

    lines     one random row, each number from its least to its greatest value: every change of the
              answer is bisected to a step of epsilon
    cells     a cell is one bin of each feature, drawn evenly. Two opposite corners of a cell that
              holds no threshold get one answer. Where they differ, the path between them is
              bisected. Ends when hardly a cell holds one (capture and recapture), or by `harvest`
    additive  a sum over features, by least squares on the bins, is exact for stumps: if it answers
              fresh rows exactly, it is the clone and nothing more is asked
    rows      `rounds` of rows, half of them one a cell, half even over the ranges: a quarter drawn,
              the others where two clones are least sure of their class
    clone     boosted trees of the bins, by the fit that does best on bought rows it has not seen

Differs from other attacks on trees: see docs/attacks/threshold_harvest.md.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks._stages import Bought
from clonecost.attacks._thresholds import Harvest, Steps
from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least, at_most
from clonecost.oracle import Oracle
from clonecost.tabular.binned import FEWEST, Fit, Scale, fit_binned, targets
from clonecost.tabular.binned_choice import fit_chosen, least_sure
from clonecost.tabular.models import SameAnswer

NEIGHBOURS = 16  # pairs of neighbouring points, to tell a smooth model
IMPURE = 0.02  # share of cells with a threshold below which the search ends
FIRST_CELLS, MOST_CELLS = 16, 512  # in a round; few while rounds find the same thresholds
EXACT = 1e-6  # of a log-odds or a probability: an additive model is exact
MISSING_SHARE = 0.1  # of the values, where the API takes incomplete rows
EVEN = 0.5  # of the rows after the search: even over the ranges, the others even over the bins
NEAR = 0.75  # of a round: chosen near the boundary
CANDIDATES = 8  # points from which one is chosen
INSTEAD = (
    "The victim's answers change with every step, so it has no thresholds. tramer_lr solves for a "
    "linear model, relu_exact for a network of ReLU units, tramer_mlp for one of tanh units"
)


@dataclass(frozen=True, kw_only=True)
class ThresholdHarvest:
    """Copies boosted trees and forests from probabilities, exactly if they are stumps.

    Example:
        >>> ThresholdHarvest(epsilon=1e-4, rounds=2)
    """

    epsilon: float = 1e-5  # precision of thresholds, as a share of a feature's range
    places: int = 33  # first rows on each line
    harvest: float = 0.35  # share of the budget for the search
    rounds: int = 4  # rounds in which the rest is spent
    checks: int = 50  # rows on which an additive clone is checked
    iterations: int = 500  # boosting steps of the clone
    leaves: int = 8  # of each tree

    declares: ClassVar = Declaration(needs="probs", takes="table")

    def __post_init__(self) -> None:
        at_least(1e-7, self, "epsilon")
        at_least(2, self, "places", "leaves")
        at_least(0, self, "harvest")
        at_most(1, self, "harvest")
        at_least(1, self, "rounds", "checks", "iterations")

    def plan(self, budget: int) -> str:
        return (
            f"queries at most {self.harvest * budget:,.0f} rows for thresholds to "
            f"{self.epsilon:g} of a range, then rows in their bins up to {budget:,}, and fits trees"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        walk = _Walk(self, oracle, kit)
        yield from walk.search()
        if not (yield from walk.is_additive()):
            yield from walk.buy_rows()


@dataclass
class _Walk:
    attack: ThresholdHarvest
    oracle: Oracle
    kit: AttackerKit
    smooth: bool = False
    harvest: Harvest = field(init=False)

    def __post_init__(self) -> None:
        shape, classes = self.oracle.threat.input_shape, self.oracle.threat.num_classes
        self.bought = Bought(
            self.oracle, DeferredClone(self.clone), torch.empty(0, *shape), torch.empty(0, classes)
        )
        self.harvest = Harvest(
            self.bought, self.kit, round(1 / self.attack.epsilon),
            round(self.attack.harvest * self.kit.horizon),
        )  # fmt: skip
        self.missing = MISSING_SHARE if self.oracle.threat.incomplete else 0.0

    def search(self) -> Steps:
        harvest = self.harvest
        everywhere = harvest.cells(NEIGHBOURS + 1)
        points = harvest.within(*everywhere)
        if bool(harvest.category.all()) or not self.attack.harvest:
            return
        self.smooth = yield from harvest.changes_everywhere(points[1:])
        self.kit.remark(INSTEAD if self.smooth else "")
        if self.smooth:
            return
        yield from harvest.along_lines(points[0], self._places())
        cells = FIRST_CELLS
        while not harvest.over:
            before = sum(map(len, harvest.cuts))
            share, new = yield from harvest.probe(cells, missing=self.missing)
            if share < IMPURE and cells >= 4 * FIRST_CELLS:
                return
            # many cells with a threshold and few new ones: they found the same
            alike = new < share * cells / 2
            cells = max(FIRST_CELLS, cells // 2) if alike else min(MOST_CELLS, 2 * cells)
            self.kit.progress("thresholds found", before + new, before + new)

    def _places(self) -> int:
        """Rows on a line: all lines together take at most half of what the search may spend."""
        rows = (self.harvest.limit - self.oracle.spent) // (2 * int((~self.harvest.category).sum()))
        return max(2, min(self.attack.places, rows))

    def is_additive(self) -> Generator[Clone, None, bool]:
        """Whether a sum over features answers fresh rows exactly."""
        if self.smooth:
            return False
        at = len(self.bought.rows)
        answers = yield from self.harvest.ask(self._fresh(self.attack.checks))
        if at < FEWEST:
            return False
        return any(self._exact(scale, at, answers) for scale in ("log-odds", "probability"))

    @torch.no_grad()
    def _exact(self, scale: Scale, at: int, answers: Tensor) -> bool:
        rows, told = self.bought.rows, self.bought.answers
        known = self.harvest.features, self._edges(at)
        model = fit_binned(*known, rows[:at], told[:at], seed=0, scale=scale)
        wanted, _ = targets(answers, scale)
        found = model.outputs(model.bins(rows[at : at + len(answers)]))
        return float((found - wanted).abs().max()) < EXACT

    def buy_rows(self) -> Steps:
        size = max(1, (self.kit.horizon - self.oracle.spent) // self.attack.rounds)
        while True:
            known = self.oracle.remaining and len(self.bought.rows) >= 4 * FEWEST
            near = round(NEAR * size) if known else 0  # with no budget left, a row ends the attack
            points = self._mixed(size - near)
            yield from self.harvest.ask(torch.cat([points, self._near(near)]) if near else points)

    def _fresh(self, count: int) -> Tensor:
        """(count, d) points, each in a cell of its own where there are as many."""
        return self.harvest.within(*self.harvest.cells(count, missing=self.missing))

    def _mixed(self, count: int) -> Tensor:
        """(count, d) points: rows in use are mostly in narrow bins, rows at large in wide ones."""
        even = round(EVEN * count)
        return torch.cat([self._fresh(count - even), self.harvest.anywhere(even, self.missing)])

    def _near(self, count: int) -> Tensor:
        """(count, d) points near the boundary of clones of the rows so far."""
        at = len(self.bought.rows)
        rng = self.kit.branch(-at).rng
        points = self._mixed(CANDIDATES * count)
        steps = -(-self.attack.iterations // 3)
        chosen = least_sure(
            self.harvest.features, self._edges(at), self.bought.rows, self.bought.answers,
            fit=Fit(iterations=steps, leaves=self.attack.leaves),
            order=torch.randperm(at, generator=rng, device=rng.device),
            candidates=self.harvest.rows_of(points), count=count,
        )  # fmt: skip
        return points[chosen]

    def clone(self, count: int, kit: AttackerKit) -> nn.Module:
        rows, answers = self.bought.rows[:count], self.bought.answers[:count]
        if count < FEWEST:
            return SameAnswer(answers.mean(0)).to(rows.device)
        return fit_chosen(
            self.harvest.features, self._edges(count), rows, answers, seed=0,
            fit=Fit(iterations=self.attack.iterations, leaves=self.attack.leaves),
            # boosting adds log-odds; a forest adds probabilities, and often says 0
            scale="probability" if bool((answers == 0).any()) else "log-odds",
        )  # fmt: skip

    def _edges(self, at: int) -> list[Tensor]:
        """The thresholds that were known after `at` rows; even ones where none are sought."""
        if self.smooth or not self.attack.harvest:
            return self.harvest.even_edges(self.attack.places)
        return self.harvest.edges_at(at)
