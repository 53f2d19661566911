"""Shares with their intervals, and the base of all models of a result."""

from math import sqrt
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

Z = NormalDist().inv_cdf(0.975)  # of a 95 % interval with two sides


class Model(BaseModel):
    """The base of all models: frozen, without unknown fields; infinities are text in JSON."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_inf_nan="strings", defer_build=True
    )


class Measured(Model):
    """A number of a clone or a model with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Value and interval in words.

        Example:
            >>> str(Rate(value=0.516, low=0.474, high=0.558))
            '51.6 % (95 % CI 47.4 to 55.8 %)'
        """
        value, low, high = (100 * share for share in (self.value, self.low, self.high))
        return f"{value:.1f} % (95 % CI {low:.1f} to {high:.1f} %)"


class Rate(Measured):
    """A proportion of test rows with its 95 % interval (Wilson's)."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @classmethod
    def of(cls, successes: int, rows: int) -> "Rate":
        """`successes` of `rows`, rows > 0, with Wilson's interval.

        The formula is Newcombe's (Statistics in Medicine 17, 1998, method 3): `scipy.stats`, which
        has it too, takes a second to import.

        Example:
            >>> str(Rate.of(8, 10))
            '80.0 % (95 % CI 49.0 to 94.3 %)'
        """
        share = successes / rows
        centre = (2 * rows * share + Z**2) / (2 * (rows + Z**2))
        half = Z / (2 * (rows + Z**2)) * sqrt(4 * rows * share * (1 - share) + Z**2)
        low = max(0.0, centre - half) if successes else 0.0
        high = min(1.0, centre + half) if successes < rows else 1.0
        return cls(value=share, low=low, high=high)


class Corrected(Measured):
    """A rate corrected for chance: 0 is its majority-class baseline, 1 is all rows.

    Below 0 is worse than the baseline. `clonecost.evaluation.chance` makes it.
    """

    value: float = Field(le=1)
    low: float = Field(le=1)
    high: float = Field(le=1)

    @property
    def above_chance(self) -> bool:
        """Whether the interval lies above the majority-class baseline."""
        return self.low > 0


def percent(share: float) -> str:
    """A share without an interval in words: 0.102 is "10.2 %"."""
    return f"{100 * share:.1f} %"
