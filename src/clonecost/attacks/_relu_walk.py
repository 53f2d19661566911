"""The search for the hidden units of a ReLU network, line by line, and its copy at any time."""

from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from clonecost.attacks._kinks import kinks
from clonecost.attacks._stages import Bought
from clonecost.attacks.base import AttackerKit, Clone, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.answer_digits import step_of
from clonecost.tabular.features import Extraction, bounds
from clonecost.tabular.models import ReluModel, SameAnswer, relu_columns

EPS = 2.3e-16
ROWS = 64  # drawn at a time, on which the copy is checked
LINES = 8  # followed at most for the wrong ones among them
STALLS = 12  # lines in a row on which no unit could be measured
WRONG = 1e-5  # of a log-ratio
UNUSABLE = 1e-3  # error of a log-ratio: the probability is saturated
FLOOR = 1e-6  # of a log-ratio: what the copy must explain
RANK_ONE = 1e-3  # second singular value over the first, of one unit


@dataclass(frozen=True)
class Units:
    """h hidden units: a relu(w x + b), with w (h, d) of length 1, b (h,) and a (h, O)."""

    w: Tensor
    b: Tensor
    a: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(m, d) -> (m, O), their sum."""
        return (x @ self.w.T + self.b).relu() @ self.a

    def joined(self, other: "Units") -> "Units":
        return Units(*(
            torch.cat(pair)
            for pair in ((self.w, other.w), (self.b, other.b), (self.a, other.a))
        ))  # fmt: skip


@dataclass
class ReluWalk:
    """The rows bought so far, and the units that were found in them."""

    oracle: Oracle
    kit: AttackerKit
    places: int  # intervals that a line starts with
    quiet: int  # draws of rows in a row that the copy explains, after which it ends
    difference: float  # of the distance to the next kink: the step of a gradient
    instead: str  # the attacks that fit other victims, a sentence without its full stop
    log: list[tuple[int, Units]] = field(default_factory=list)  # rows bought until then

    def __post_init__(self) -> None:
        self.features = table_of(self.oracle.threat)
        d, classes = len(self.features), self.oracle.threat.num_classes
        empty = torch.empty(0, d, dtype=torch.float64)
        self.bought = Bought(self.oracle, DeferredClone(self.clone), empty, torch.empty(0, classes))
        low, high = (bound.double() for bound in bounds(self.features))
        self.middle, self.reach = (high + low) / 2, (high - low) / 2
        self.low, self.high = low, high
        self.scale = Extraction(self.features)
        self.log = [(0, Units(empty, empty[:, 0], empty.new_empty(0, classes - 1)))]

    def run(self) -> Generator[Clone, None, None]:
        self.kit.remark("The budget ended before all units were found")
        yield from self.log_ratios(self._draw(self.places))
        answers = self.bought.answers
        if answers.dtype != torch.float64 or step_of(answers):
            self.kit.remark(
                f"The answers are rounded, and relu_exact needs every digit of float64. "
                f"{self.instead}"
            )
            return
        self.base = 0.2 * self._draw(1)[0]
        jacobian, values, _ = yield from self.gradients(
            self.base[None], self.base.new_tensor([1e-3])
        )
        self.slope, self.at_base = jacobian[0], values[0]
        yield from self.follow(*self._line(), self.places)
        quiet = stalled = 0
        while quiet < self.quiet and stalled < STALLS:
            x = self._draw(ROWS)
            values, error = yield from self.log_ratios(x)
            apart = (values - self._of_copy(x)).abs().amax(1)
            wrong = ((apart > WRONG) & (error < torch.inf)).nonzero()[:LINES, 0]
            quiet = 0 if len(wrong) else quiet + 1
            for k in wrong.tolist():
                if float((values[k] - self._of_copy(x[k])).abs().max()) < WRONG:
                    continue  # a unit that was found since explains it
                # the copy is right at the base and wrong here: between them there is a kink
                new, curved = yield from self.follow(self.base, x[k], self.places // 4)
                if curved:
                    self.kit.remark(
                        "The log-ratios of the victim's answers are curved, or have too many "
                        "kinks: it is no network of one hidden layer of ReLU units. "
                        f"{self.instead}"
                    )
                    return
                stalled = 0 if new else stalled + 1
            self.kit.progress("hidden units found", len(self.known.b), len(self.known.b))
        self.kit.remark(
            f"Between some rows no further hidden unit could be told apart. {self.instead}"
            if stalled == STALLS
            else ""
        )

    @property
    def known(self) -> Units:
        """The units found so far."""
        return self.log[-1][1]

    def follow(
        self, start: Tensor, end: Tensor, places: int
    ) -> Generator[Clone, None, tuple[int, bool]]:
        """Find the units with a kink on a line that are not known.

        Returns how many were new, and whether the function is no such network.
        """
        length = float((end - start).norm())
        direction = (end - start) / length

        def ask(t: Tensor) -> Generator[Clone, None, tuple[Tensor, Tensor]]:
            x = start + t[:, None] * direction
            values, error = yield from self.log_ratios(x)
            return values - self.known(x), error

        floor = FLOOR if len(self.known.b) else 1e-12
        found = yield from kinks(ask, length, max(2, places), floor=floor)
        t = found.t.sort().values
        if found.curved or not len(t):
            return 0, found.curved
        # beside each kink: halfway to the next one, on both sides
        ends = torch.cat([t.new_zeros(1), t, t.new_tensor([length])])
        gap = ends.diff()
        between = start + (ends[:-1] + gap / 2)[:, None] * direction
        jacobian, _, sure = yield from self.gradients(between, gap / 2 * self.difference)
        turn = jacobian[1:] - jacobian[:-1]  # (k, O, d), a w^T each
        _, s, right = torch.linalg.svd(turn, full_matrices=False)
        rank_one = (s[:, 0] > 1e-9) & sure[1:] & sure[:-1]
        if s.shape[1] > 1:
            rank_one &= s[:, 1] < RANK_ONE * s[:, 0]
        w = right[:, 0] * (right[:, 0] @ direction).sign()[:, None]
        b = -((start + t[:, None] * direction) * w).sum(1)
        a = (turn @ w[..., None])[..., 0]
        found_units = Units(w[rank_one], b[rank_one], a[rank_one])
        self.log.append((len(self.bought.rows), self.known.joined(found_units)))
        return int(rank_one.sum()), False

    def gradients(
        self, x: Tensor, step: Tensor
    ) -> Generator[Clone, None, tuple[Tensor, Tensor, Tensor]]:
        """Gradients of what the known units leave over at (m, d), by differences.

        Returns (m, O, d), the values (m, O), and (m,) whether no kink is within the step; for more
        than one output the ranks show that.
        """
        slope, values = yield from self._slope(x, step)
        sure = torch.ones(len(x), dtype=torch.bool)
        if values.shape[1] == 1:
            again, _ = yield from self._slope(x, 0.37 * step)
            near = 1e-4 * slope.abs().amax((1, 2)) + 1e-9
            sure = (slope - again).abs().amax((1, 2)) <= near
        return slope, values, sure

    def _slope(self, x: Tensor, step: Tensor) -> Generator[Clone, None, tuple[Tensor, Tensor]]:
        m, d = x.shape
        inward = torch.where(x > 0, -1.0, 1.0).double()
        moved = x[:, None] + torch.diag_embed(step.clamp_min(1e-8)[:, None] * inward)  # (m, d, d)
        points = torch.cat([x[:, None], moved], 1).flatten(0, 1)
        values, _ = yield from self.log_ratios(points)
        values = (values - self.known(points)).view(m, d + 1, -1)
        # what was sent, after rounding
        sent = self.scale(self.bought.rows[-len(points) :].cpu()).view(m, d + 1, d)
        moved_by = (sent[:, 1:] - sent[:, :1]).diagonal(dim1=1, dim2=2)
        slope = (values[:, 1:] - values[:, :1]) / moved_by[..., None]
        return slope.transpose(1, 2).nan_to_num(0.0, 0.0, 0.0), values[:, 0]

    def _of_copy(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., O): the known units, and a linear part that is right at the base."""
        known, at = self.known, self.base[None]
        active = ((at @ known.w.T + known.b) > 0).double()[0]
        slope = self.slope - (known.a * active[:, None]).T @ known.w
        flat = x.view(-1, x.shape[-1])
        found = known(flat) + self.at_base - known(at) + (flat - at) @ slope.T
        return found.view(*x.shape[:-1], -1)

    def log_ratios(self, x: Tensor) -> Generator[Clone, None, tuple[Tensor, Tensor]]:
        """(m, d) in [-1, 1] -> (m, K - 1) log p_k - log p_0, and their errors (m,)."""
        rows = (self.middle + self.reach * x).clamp(self.low, self.high)
        answers = yield from self.bought.buy(rows.to(self.kit.device))
        return _ratios(answers.cpu().double())

    def clone(self, count: int, kit: AttackerKit) -> nn.Module:
        """The units known after `count` rows, and by least squares what else there is."""
        units = next(found for at, found in reversed(self.log) if at <= count)
        answers = self.bought.answers[:count].cpu()
        values, error = _ratios(answers.double())
        told = error < torch.inf
        if int(told.sum()) < 2:
            return SameAnswer(answers.mean(0)).to(kit.device)
        x, values = self.scale(self.bought.rows[:count].cpu()[told]), values[told]
        weight = (1e-14 / (error[told] + 1e-14))[:, None].clamp_min(1e-6)
        columns, h = relu_columns(x, units.w, units.b), len(units.b)

        def solved(a: Tensor, y: Tensor) -> Tensor:
            found = torch.linalg.lstsq(a * weight, y * weight, rcond=1e-13, driver="gelsd")
            return found.solution

        # the weights of the units as they were measured, which a unit that is not found yet leaves
        # right, or fitted again, which leaves out a unit that is none
        rest = solved(columns[:, h:], values - units(x))
        both = torch.cat([units.a, rest]), solved(columns, values)
        wrong = [float((columns @ one - values).abs().mean()) for one in both]
        out = both[wrong.index(min(wrong))].T
        out = torch.cat([torch.zeros_like(out[:1]), out])
        return ReluModel(self.features, units.w, units.b, out).to(kit.device)

    def _draw(self, count: int) -> Tensor:
        shape = count, len(self.features)
        rng = self.kit.rng
        return 2 * torch.rand(shape, generator=rng, device=rng.device).cpu().double() - 1

    def _line(self) -> tuple[Tensor, Tensor]:
        """Two points near opposite corners of the box; a fifth of the numbers is drawn anew."""
        a, shrink, other, which = self._draw(4)
        start = 0.75 * a.sign() + 0.25 * a
        end = torch.where(which.abs() < 0.2, other, -start * (0.75 + 0.25 * shrink))
        return start, end


def _ratios(answers: Tensor) -> tuple[Tensor, Tensor]:
    """(n, K) -> (n, K - 1) log-ratios to the first class, and their errors (n,)."""
    values = answers[:, 1:].log() - answers[:, :1].log()
    # the second of two probabilities is often 1 less the first, with an absolute error
    absolute = 1 / answers.amin(1) if answers.shape[1] == 2 else 5.0
    error = EPS * (1 + values.abs().amax(1) + absolute)
    return values, torch.where(error < UNUSABLE, error, torch.inf)
