"""An attack that solves equations: buys them, solves them, and checks the solution on further rows.

1. Uniform rows, as many as the paper buys.
2. In the place of saturated answers, rows near the victim's boundary (`_usable_rows`).
3. A few further rows, which the solution must answer as the victim does. If it does not, more rows
   are bought and solved together, in rounds that double them, until a solution is right or there
   were `rounds` of them. If the last one is not right, the kit is told so.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from math import ceil

import torch
from torch import Tensor, nn

from clonecost.attacks._stages import Bought, BuySteps
from clonecost.attacks._usable_rows import buy_usable, equations, usable
from clonecost.attacks.base import AttackerKit, Clone, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.answer_digits import step_of
from clonecost.tabular.features import uniform_rows
from clonecost.types import Feature, answered

Solve = Callable[[AttackerKit, Tensor, Tensor], nn.Module]  # (kit, rows, answers) -> clone

RIGHT = 1e-2  # of a probability: the largest error of a solution's answer to a further row
MISSED = 0.01  # share of the further rows whose class a right solution may miss
TIE = 1e-9  # of two probabilities: the predicted class is chance
EXACT = 1e-4  # with smaller errors a few further rows suffice ...
ROUGH, SATURATED = 20, 40  # ... else this multiple of them
CHECKING = -3  # branch of the kit


@dataclass(frozen=True, kw_only=True)
class System:
    """The equations of a guessed model.

    Attributes:
        guess: the model in words, with its article.
        instead: a sentence that names the attacks that fit other models.
        unknowns: how many numbers the model has.
        rows: rows bought first, rounded up; fewer if the budget is smaller.
        checks: usable rows on which the solution is checked; 0: none, and no row is replaced.
        rounds: solutions at most; each has twice the rows of the one before.
        solve: the solution of rows and answers.
    """

    guess: str
    instead: str
    unknowns: int
    rows: float
    checks: int
    rounds: int
    solve: Solve


def solve_equations(
    oracle: Oracle, kit: AttackerKit, system: System, *, size: int = 256
) -> Iterator[Clone]:
    """Run the three stages of the module; `size` rows are queried at a time in the first."""
    features = table_of(oracle.threat)
    count = min(max(1, ceil(system.rows)), oracle.threat.query_budget)
    rows = uniform_rows(features, count, kit.rng)
    answers: list[Tensor] = []
    clone = DeferredClone(lambda n, kit: _solution(system, kit, rows[:n], torch.cat(answers)[:n]))
    for _ in kit.loop(lambda _: oracle.spent < count, answers=answers):
        answers.append(oracle(rows[oracle.spent :][:size]))
        yield clone
    needed = ceil(system.unknowns / (oracle.threat.num_classes - 1))
    if count < needed and count < ceil(system.rows):
        kit.remark(
            f"The budget of {count:,} rows is smaller than the {needed:,} rows whose answers "
            f"determine {system.guess} of this table"
        )
    if system.checks and oracle.remaining:
        yield from _Checked(oracle, kit, system, features, rows, torch.cat(answers)).run()


@dataclass
class _Checked:
    """The second and third stage."""

    oracle: Oracle
    kit: AttackerKit
    system: System
    features: tuple[Feature, ...]
    rows: Tensor
    answers: Tensor
    # the rows of each check, (number of rows before it, number after it): the solution is older
    held: list[tuple[int, float]] = field(default_factory=list)
    solved: dict[int, nn.Module] = field(default_factory=dict)  # by the number of its rows

    def run(self) -> BuySteps:
        self.bought = Bought(self.oracle, DeferredClone(self._clone), self.rows, self.answers)
        draws = self.kit.branch(CHECKING)
        self.wanted = min(
            self.system.unknowns, len(self.rows) * (self.oracle.threat.num_classes - 1)
        )
        yield from buy_usable(self.bought, draws, self.features, self.wanted)
        for number in range(1, self.system.rounds + 1):
            wrong = yield from self._check(draws)
            if not wrong:
                return
            if number < self.system.rounds:
                self.wanted *= 2
                more = uniform_rows(self.features, len(self.bought.rows), draws.rng)
                yield from self.bought.buy(more)
                yield from buy_usable(self.bought, draws, self.features, self.wanted)

    def _check(self, draws: AttackerKit) -> Generator[Clone, None, bool]:
        """Whether the solution of all rows is wrong on further rows, which stay out of it."""
        at = len(self.bought.rows)
        solution = self._solution(at)
        self.held.append((at, torch.inf))
        self._tell(worst=None)
        worst, enough = 0.0, False
        while not (worst or enough) and self.oracle.remaining:
            size = min(self.system.checks, self.oracle.remaining)
            yield from self.bought.buy(uniform_rows(self.features, size, draws.rng))
            worst, enough = self._compare(solution, at)
        self.held[-1] = (at, len(self.bought.rows))
        if worst:
            self._tell(worst)
        elif len(self.bought.rows) > at:
            self.kit.remark("")
        return worst > 0

    def _solution(self, count: int) -> nn.Module:
        if count not in self.solved:
            bought = self.bought
            rows, answers = bought.rows[:count], bought.answers[:count]
            self.solved[count] = _solution(self.system, self.kit.branch(count), rows, answers)
        return self.solved[count]

    def _clone(self, count: int, kit: AttackerKit) -> nn.Module:
        before = [at for at, end in self.held if at < count <= end]
        return self._solution(before[0] if before else count)

    @torch.no_grad()
    def _compare(self, solution: nn.Module, since: int) -> tuple[float, bool]:
        """The largest error in the rows from `since` on; 0: right. Whether these rows suffice."""
        told = answered(self.bought.answers[since:])
        if not told.any():
            return 0.0, False
        answers = self.bought.answers[since:][told]  # probabilities: the attacks need them
        mine = solution(self.bought.rows[since:][told]).softmax(1).double()
        errors = (mine - answers.double()).abs().amax(1).nan_to_num(1.0)
        step = step_of(self.bought.answers)
        margin = answers.topk(2, 1).values.diff(dim=1)[:, 0].abs()
        missed = (mine.argmax(1) != answers.argmax(1)) & (margin > TIE)
        near = min(RIGHT + 0.6 * step, 0.49)
        wrong = bool((errors > near).any()) or float(missed.double().mean()) > MISSED
        digits = usable(answers)
        exact = int(digits.sum()) >= self.system.checks and bool((errors[digits] < EXACT).all())
        rows = (ROUGH if digits.any() else SATURATED) * self.system.checks
        return float(errors.max()) if wrong else 0.0, exact or len(errors) >= rows

    def _tell(self, worst: float | None) -> None:
        answers, without = self.bought.answers, int((~usable(self.bought.answers)).sum())
        saturated = (
            f"{without:,} of {len(answers):,} answers are 0 or 1 and give no equation"
            if equations(answers) < self.wanted
            else ""
        )
        if worst is not None:
            reason = (
                f"on further rows the clone's answers differ from the victim's by up to "
                f"{worst:.2g}. The victim is not {self.system.guess}, or its answers are altered "
                f"or too coarse. {self.system.instead}"
            )
            self.kit.remark(f"{saturated}; {reason}" if saturated else _capital(reason))
        elif saturated:
            self.kit.remark(saturated)


def _solution(system: System, kit: AttackerKit, rows: Tensor, answers: Tensor) -> nn.Module:
    told = answered(answers)
    return system.solve(kit, rows[told], answers[told])


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
