"""`run/detection.json`: would the victim's owner have noticed the attack of a run?"""

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from clonecost.errors import Advice
from clonecost.result.rates import Model, Rate
from clonecost.result.reading import read_document


class Benign(Model):
    """The benign traffic: one half of its accounts calibrates, the other half checks."""

    source: str = Field(description="in words, such as 'the test set of the run'")
    rows: int = Field(description="different rows")
    queries: int = Field(
        default=0, description="rows sent to the victim for it, counted apart in `RUN/benign`"
    )
    accounts: int = Field(description="made or found in them, both halves together")
    account_rows: int = Field(
        description="rows of the longest account that can be calibrated; a longer account is "
        "watched in stretches of that many rows, each with the false-alarm rate"
    )
    kinds: dict[str, int] = Field(description="accounts of each kind of user, by its name")


class ShortAccount(Model):
    """How well attack accounts of `rows` rows are told from benign ones."""

    rows: int
    accounts: int = Field(description="into which the attack's rows are split, one after the other")
    found: Rate | None = Field(
        description="share of the attack's accounts that alarm at the threshold of 1 % false "
        "alarms for benign accounts of `rows` rows; null: see `why`"
    )
    auroc: float | None = Field(
        description="chance that an attack account is more suspicious than a benign one"
    )
    why: str = Field(default="", description="one sentence when there is no number")


class Unseen(Model):
    """Among how many accounts the attack must be split to stay unseen.

    Unseen: its accounts alarm no more often than the false-alarm rate explains.
    """

    split: Literal["round robin", "contiguous"]
    accounts: int | None = Field(description="null: no split that was tried stays unseen")
    rows: int | None = Field(description="of each account then")


class WithoutUsers(Model):
    """What a detector would find for an owner who has no users of one kind.

    The kind is the one that costs most: without it the threshold is lowest.
    """

    users: str = Field(description="a kind in `Benign.kinds`")
    threshold: float
    first_alarm: int | None = Field(description="rows before the alarm; null: none")
    milestone: int | None = Field(description="the last milestone at or before that alarm")
    agreement: Rate | None = Field(description="of the clone at `milestone`")


class DetectorFinding(Model):
    """One detector on the rows of the attack."""

    name: str
    settings: dict[str, JsonValue]
    why_not: str | None = Field(
        default=None, description="one sentence when the detector cannot judge this run"
    )
    watched: int = Field(default=0, description="rows of the attack that it watched")
    threshold: float | None = Field(default=None, description="it alarms above this statistic")
    false_alarms: Rate | None = Field(
        default=None,
        description="share of benign accounts that alarm at any row, in the half of the accounts "
        "that did not set the threshold",
    )
    first_alarm: int | None = Field(default=None, description="rows before the alarm; null: none")
    milestone: int | None = Field(
        default=None, description="the last milestone at or before the first alarm, in queries"
    )
    agreement: Rate | None = Field(
        default=None,
        description="of the clone at `milestone`; without an alarm, of the final clone; null: the "
        "alarm came before the first milestone",
    )
    set_aside: str | None = Field(
        default=None,
        description="why an alarm of this detector decides nothing: its threshold is too low for "
        "the false-alarm rate, or the alarm comes so late that most honest accounts alarm, too; "
        "null: it counts",
    )
    without: WithoutUsers | None = Field(
        default=None, description="null: no kind of user alone sets the threshold"
    )
    short_accounts: list[ShortAccount] = Field(default_factory=list)
    auroc: float | None = Field(
        default=None, description="of the longest of `short_accounts` that has one"
    )
    unseen: list[Unseen] = Field(default_factory=list)
    accounts_needed: int | None = Field(
        default=None, description="the smallest of `unseen`; null: none that was tried is enough"
    )

    @property
    def alarm(self) -> int | None:
        """`first_alarm`, if it counts."""
        return None if self.set_aside else self.first_alarm


class Cap(Model):
    """The largest number of rows a day that keeps one account below a band of the verdict."""

    band: float = Field(gt=0, le=1, description="0.75 or 0.9 of chance-corrected agreement")
    days: int = Field(description="days for which an account is used")
    below: int | None = Field(
        description="the last milestone at which the interval's upper end is below the band"
    )
    reached: int | None = Field(
        description="the first milestone at which it is not; null: not reached within the budget"
    )
    per_day: int | None = Field(description="the cap; null: the first milestone is in the band")
    accounts_in_a_day: int | None = Field(
        description="accounts that an attacker needs to reach the band within one day"
    )


class Detection(Model):
    """Whether detectors notice the attack of a run, as in `RUN/detection.json`."""

    schema_: Literal["clonecost/detection/1"] = Field(
        default="clonecost/detection/1", alias="schema"
    )
    queries: int = Field(description="rows of the attack that were watched")
    rate: float = Field(gt=0, lt=1, description="false-alarm rate that was asked for")
    benign: Benign
    detectors: list[DetectorFinding]
    caps: list[Cap]
    noticed: bool = Field(description="at least one detector gave an alarm that counts")
    verdict: str = Field(description="one sentence: would the owner have noticed?")
    seed: int
    seconds: float
    ledger_head: str = Field(description="the head of the ledger that was read")

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}


def read_detection(run: Path) -> Detection | None:
    """Read `run/detection.json`; None if no detector was tried on the run.

    Raises:
        RunError: the file does not fit this version's schema.
    """
    return read_document(
        run / "detection.json", Detection,
        Advice("try the detectors on the run again with this version"),
    )  # fmt: skip
