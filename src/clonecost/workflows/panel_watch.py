"""The watch rows of a panel: bought once at its start, on an account of their own."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from clonecost.config import Spec, lost_limit, make_device
from clonecost.config.build import Parts
from clonecost.config.panel_entries import PlannedEntry, watch_parts, watch_rows
from clonecost.data import load
from clonecost.data.text_rows import decode, encode
from clonecost.data.text_words import words_of
from clonecost.data.texts import TextOptions, load_texts
from clonecost.evaluation.scoring import Reference, score
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import Oracle
from clonecost.query_synthesis.procedural_images import drawings
from clonecost.result import Corrected, WatchRows
from clonecost.tabular.features import bounds, uniform_rows
from clonecost.types import Feature, LabelledInputs, Progress, ThreatModel, as_bytes

LEDGER = "watch.sqlite"  # in the panel's folder
SEED = 15_2026  # draws the watch rows: other rows than any attack's or evaluation's
EXACT_PART = 0.7  # of the rows left, for an attack on smooth models that is exact or ends early
PROBES = 25  # watch rows of a table that are sent again, each with one number moved
STEP = 1e-4  # of its range: a tree's thresholds are rarely so close
SMOOTH = (
    "a tiny step of one number changes the probabilities, which a tree's do not: the attack is "
    "for trees"
)
PIECES = (
    "tiny steps of the numbers leave the probabilities as they are, as a tree does: the attack "
    "follows the slopes of a network"
)
SENTENCES = "docs-sentences"  # its test split, as of pictures
WORDS_FROM, LENGTH = 2_000, 12  # sentences whose words are drawn, and words of a random text
PICTURES = "photos"  # its test split, which no attack asks: a proxy is a train split


@dataclass(frozen=True)
class Watch:
    """The watch rows by their kind, with the victim's answers; empty if the budget was too small.

    Attributes:
        card: for the panel's document.
        smooth: whether a tiny step of one number changes most answers, as no tree's are changed;
            None: not known.
    """

    references: dict[str, Reference]
    card: WatchRows
    smooth: bool | None = None

    def refusal(self, one: PlannedEntry) -> str:
        """Why an attack on trees, or on smooth models, does not fit; empty: it may."""
        if one.pieces and self.smooth:
            return SMOOTH
        return PIECES if one.exact and self.smooth is False else ""

    def agreements(self, clone: nn.Module, queries: int) -> list[tuple[str, Corrected, float]]:
        """Each kind with its name, the clone's agreement, and the share of the majority class."""
        return [
            (part, score(clone, one, queries=queries).corrected_agreement, one.majority())
            for part, one in self.references.items()
        ]


def buy_watch(
    spec: Spec, parts: Parts, out: Path, progress: Progress, *, probe: bool = False
) -> Watch:
    """Buy the watch rows from the undefended victim, or replay them from their ledger.

    Args:
        probe: also find out whether the answers of a table's victim are smooth: `PROBES` rows more.

    Raises:
        CloneCostError: as the oracle.
    """
    names = watch_parts(spec)
    each = watch_rows(spec, len(names))
    if not each:
        return Watch({}, WatchRows(ledger=None, rows=0, words="none: the budget is too small"))
    threat, device = parts.threat, make_device(spec.device)
    kinds = {name: _rows(name, spec, parts, each) for name in names}
    victim = [parts.victim.name, parts.victim.weights]
    identity = {"watch": victim, "rows": {k: rows.fingerprint for k, rows in kinds.items()}}
    numbers = [k for k, one in enumerate(threat.features or ()) if not one.categories]
    probes = PROBES if probe and numbers else 0
    total = each * len(names) + probes
    ledger = Ledger(
        out / LEDGER, audit=json.dumps(identity, sort_keys=True), input_shape=threat.input_shape,
        num_classes=threat.num_classes,
    )  # fmt: skip
    try:
        oracle = Oracle(
            parts.victim.answer,
            ThreatModel(
                input_shape=threat.input_shape, num_classes=threat.num_classes,
                query_budget=total, features=threat.features, text=threat.text,
            ),
            ledger, account="evaluation", max_lost=lost_limit(spec),
            rows_in_flight=parts.victim.rows_in_flight,
            observe=lambda position, rows, *_: progress(
                "buying the watch rows", position + len(rows), total
            ),
        )  # fmt: skip
        bought = {name: Reference.buy(oracle, rows, device) for name, rows in kinds.items()}
        smooth = None
        if probes:
            (watched,) = bought.values()
            rows = watched.test.inputs[:probes]
            moved = oracle(_moved(rows, parts.threat.features or (), numbers))
            changed = (moved != watched.answers[: len(rows)]).any(1)
            smooth = bool(changed.float().mean() > 0.5)
    finally:
        ledger.close()
    words = " and ".join(f"{each:,} {name}" for name in names)
    if probes:
        words += f", {probes:,} of them again with one number moved"
    return Watch(bought, WatchRows(ledger=LEDGER, rows=total, words=words), smooth)


def _moved(rows: torch.Tensor, features: Sequence[Feature], numbers: Sequence[int]) -> torch.Tensor:
    """(n, d) rows, each with one number moved by `STEP` of its range, within the range."""
    low, high = bounds(features)
    place = torch.tensor(numbers)[torch.arange(len(rows)) % len(numbers)]
    at = torch.arange(len(rows))
    step = STEP * (high - low)[place]
    before = rows.cpu()[at, place]
    moved = rows.cpu().clone()
    moved[at, place] = torch.where(before + step > high[place], before - step, before + step)
    return moved.to(rows.device)


def _rows(name: str, spec: Spec, parts: Parts, count: int) -> LabelledInputs:
    makers: dict[str, Callable[[], torch.Tensor]] = {
        "uniform rows": lambda: uniform_rows(parts.threat.features or (), count, _rng()),
        "drawings": lambda: as_bytes(drawings(count, parts.threat.input_shape, _rng())),
        "public pictures": lambda: _pictures(spec, parts, count),
        "public sentences": lambda: _texts(SENTENCES, parts, count),
        "random words": lambda: _random_words(parts, count),
    }
    inputs = makers[name]()
    labels = torch.full((len(inputs),), -1)
    return LabelledInputs(inputs, labels, name=name, features=parts.threat.features,
                          text=parts.threat.text)  # fmt: skip


def _pictures(spec: Spec, parts: Parts, count: int) -> torch.Tensor:
    held = load(PICTURES, "test", root=spec.data, shape=parts.threat.input_shape)
    return held.inputs[torch.randperm(len(held), generator=_rng())[:count]]


def _texts(name: str, parts: Parts, count: int) -> torch.Tensor:
    options = TextOptions(longest=parts.threat.input_shape[0], cut=True)
    held = load_texts(name, "test", options)
    return held.inputs[torch.randperm(len(held), generator=_rng())[:count]]


def _random_words(parts: Parts, count: int) -> torch.Tensor:
    words = words_of(decode(_texts(SENTENCES, parts, WORDS_FROM)))
    draws = torch.randint(len(words), (count, LENGTH), generator=_rng())
    texts = [" ".join(words[k] for k in row) for row in draws.tolist()]
    return encode(texts, parts.threat.input_shape[0], cut=True)


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)
