"""`OUT/panel.json`: a panel of attacks on one victim, beside the run folders of its entries."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clonecost.errors import Advice
from clonecost.result.fingerprint import Fingerprint
from clonecost.result.rates import Corrected, Model
from clonecost.result.reading import read_document

PANEL = "panel.json"
SCHEMA: Literal["clonecost/panel/1"] = "clonecost/panel/1"

Level = Literal["quick", "standard", "thorough"]
MeasureKind = Literal["detectors", "labels"]
Ended = Literal["finished", "budget_exhausted", "stopped", "not_run", "failed"]


class PartLook(Model):
    """The clone of an entry on one kind of watch rows."""

    part: str = Field(description='the kind: "public pictures", "drawings", "uniform rows"')
    corrected_agreement: Corrected
    projected: float | None = Field(
        description="the most that the entry's full budget can give by the rule; null: not known"
    )
    bar: float | None = Field(
        description="the highest lower bound of an entry before it within as many queries; null: "
        "there is none"
    )


class Look(Model):
    """One look of the stop rule at an entry's clone, on the watch rows only."""

    queries: int = Field(ge=0, description="rows that the entry had spent")
    parts: list[PartLook]
    stop: Literal["cannot_win", "time"] | None = Field(
        description="why the entry ends here; null: it goes on"
    )


class PanelEntry(Model):
    """One attack of the panel with one seed: a run of its own, or the reason why there is none."""

    name: str = Field(description="what identifies the entry: its attack, and its seed if several")
    run: str | None = Field(description="its run folder in OUT; null: it has none")
    attack: str = Field(description="the attack with its profile")
    owns: str = Field(description='what the attacker owns: "nothing", "public pictures", ...')
    seed: int
    budget: int = Field(ge=0, description="rows that it may send")
    spent: int = Field(default=0, ge=0, description="rows that were answered to it")
    ended: Ended | None = Field(default=None, description="null: not yet decided")
    why: str = Field(default="", description="why it ended so, or was not run: one sentence")
    looks: list[Look] = Field(default=[], description="of the stop rule, by queries")


class PanelMeasure(Model):
    """What the panel measures after its attacks; it is no attack of the panel."""

    kind: MeasureKind = Field(
        description="detectors: they watch the cheapest clone's attack, in its detection.json; "
        "labels: an attack is run again on an API that gives labels only"
    )
    of: str | None = Field(default=None, description="the run folder of the attack in question")
    run: str | None = Field(default=None, description="its own run folder; null: it has none")
    budget: int = Field(default=0, ge=0, description="rows that it may send")
    spent: int = Field(default=0, ge=0, description="rows that were answered to it")
    ended: Ended | None = Field(default=None, description="null: not yet decided")
    why: str = Field(default="", description="why it ended so, or what it found: one sentence")


class WatchRows(Model):
    """The rows that the panel itself buys at its start, by which the stop rule decides."""

    ledger: str | None = Field(description="their own ledger in OUT; null: none were bought")
    rows: int = Field(ge=0, description="rows paid, counted in the total")
    words: str = Field(description="what they are, in words")


class PanelLimits(Model):
    """What the panel may spend; null: no limit."""

    budget: int = Field(
        ge=0,
        description="rows of the panel in all, the evaluation apart",
    )
    minutes: float | None = None
    max_usd: float | None = None


class PanelDocument(Model):
    """A panel, as in `OUT/panel.json`. Every decision is written before it takes effect.

    Example:
        >>> [entry.ended for entry in read_panel(Path("runs/mine")).entries]  # doctest: +SKIP
        ['budget_exhausted', 'stopped', 'not_run']
    """

    schema_: Literal["clonecost/panel/1"] = Field(default=SCHEMA, alias="schema")
    level: Level
    entries: list[PanelEntry] = Field(description="in the order in which they run, cheapest first")
    measures: list[PanelMeasure] = Field(default=[], description="taken after the attacks")
    watch: WatchRows
    fingerprint: Fingerprint | None = Field(
        default=None,
        description="what public pictures showed of the model before the attacks; "
        "null: the panel has no attack that needs it, or the budget is too small",
    )
    rule: str = Field(description="the stop rule in words")
    limits: PanelLimits
    spent: int = Field(
        ge=0,
        description="rows of entries, measures, watch account and fingerprint so far",
    )
    usd_per_1000: float | None = None
    seconds: float = Field(default=0, ge=0, description="of all sessions so far")

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}


def read_panel(out: Path) -> PanelDocument | None:
    """Read `out/panel.json`; None if there is none.

    Raises:
        RunError: the file does not fit this version's schema.
    """
    return read_document(
        out / PANEL, PanelDocument, Advice("run the audit again with this version")
    )
