"""The facts about a model's scores from which their form is told: range, sums, whole numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clonecost.errors import VictimError

if TYPE_CHECKING:  # the schema of a spec imports this module, and help texts need no torch
    from torch import Tensor

FEW = 4  # rows: with fewer, a form that the owner states is not contradicted by coincidence


@dataclass(frozen=True)
class Scores:
    """Scores and the facts about them on which the decision rests."""

    values: "Tensor"  # (n, columns) float64
    where: str
    whole: bool  # of an integer type
    unsigned: bool  # of the type uint8

    @staticmethod
    def of(scores: "Tensor", where: str) -> "Scores":
        import torch

        values = scores.detach().cpu().double()
        values = values.view(-1, 1) if values.ndim == 1 else values
        if torch.isnan(values).any() or bool((values == torch.inf).any()):
            bad = int((torch.isnan(values) | (values == torch.inf)).any(1).sum())
            raise VictimError(f"{where} answers {bad} of {len(values)} rows with NaN or infinity.")
        return Scores(values, where, not scores.is_floating_point(), scores.dtype == torch.uint8)

    @property
    def columns(self) -> int:
        return self.values.shape[1]

    @property
    def low(self) -> float:
        return float(self.values.min())

    @property
    def high(self) -> float:
        return float(self.values.max())

    @property
    def sums(self) -> tuple[float, float]:
        """The smallest and the largest sum of a row."""
        sums = self.values.sum(1)
        return float(sums.min()), float(sums.max())

    @property
    def range(self) -> str:
        """The facts in words."""
        count = len(self.values)
        text = f"{self.low:.3g} to {self.high:.3g}"
        if self.columns > 1:
            # without the rounding errors of sums that are 0
            low, high = (round(total, 4) + 0.0 for total in self.sums)
            text += f", sums {low:.4g} to {high:.4g}"
        return f"{text} on {count} row{'' if count == 1 else 's'}"

    def integral(self) -> bool:
        """Whether all values are whole numbers."""
        return bool((self.values == self.values.round()).all())

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high

    def sum_to(self, total: float, tolerance: float) -> bool:
        low, high = self.sums
        return total - tolerance <= low and high <= total + tolerance

    def spreads(self) -> bool:
        """Whether the values are unlike each other and reach beyond 0 to 1, on enough rows."""
        varied = len(self.values) >= FEW and self.low < self.high
        return varied and not self.within(0, 1)

    def constant_sum(self) -> float | None:
        """The sum of every row, if all sums are alike and the rows are not."""
        low, high = self.sums
        alike = high > 0 and high - low <= 1e-3 * high
        varied = len(self.values) >= FEW and bool((self.values != self.values[0]).any())
        return low if alike and varied else None

    def shown(self) -> str:
        """The first two rows."""
        rows = [
            ", ".join(f"{value:.3g}" for value in row[:4]) + (", ..." if len(row) > 4 else "")
            for row in self.values[:2].tolist()
        ]
        return " and ".join(f"[{row}]" for row in rows)
