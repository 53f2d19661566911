"""What a defence costs the users of the defended model: one definition for all defences."""

from pydantic import Field

from clonecost.result.rates import Model, Rate


class Change(Model):
    """A number of the undefended model, and the same number of the defended one.

    Example:
        >>> Change(before=0.02, after=0.31).difference
        0.29
    """

    before: float
    after: float

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before


class RateChange(Model):
    """A share of rows with its interval, before and after."""

    before: Rate
    after: Rate


class Utility(Model):
    """The utility columns of a defence; None: the rows that it needs were not given, see each."""

    rows: int = Field(gt=0)
    flips: Rate = Field(description="rows whose top class is another one than the victim's")
    l1_mean: float = Field(ge=0, description="mean L1 distance of the served answer, 0 to 2")
    l1_max: float = Field(ge=0, description="the largest L1 distance, 0 to 2")
    accuracy: RateChange | None = Field(default=None, description="null without labels")
    nll: Change | None = Field(default=None, description="nats a row; null without labels")
    ece: Change | None = Field(
        default=None, description="expected calibration error, 15 bins; null without labels"
    )
    auroc_errors: Change | None = Field(
        default=None, description="how well the largest probability tells right rows from wrong "
        "ones, 0.5 to 1; null without labels, or without both kinds of rows"
    )  # fmt: skip
    auroc_outliers: Change | None = Field(
        default=None, description="how well the largest probability tells test rows from outliers; "
        "null without outliers"
    )  # fmt: skip


class Latency(Model):
    """Milliseconds a row of the victim alone (before) and behind the defence (after)."""

    batch_1: Change
    batch_128: Change
