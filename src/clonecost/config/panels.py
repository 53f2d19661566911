"""The panels: which attacks run when an audit names none. Data only; imports no torch.

A level lists entries, cheapest first. What an entry needs and sends, its attack declares; an entry
adds what no attack can know: which data it gets, and with which answers the panel prefers it.
Strengths are those of docs/results.md and suites/results.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from clonecost.result.panel import Level
from clonecost.types import AnswerKind

Data = Literal["pool", "kind", "picture"]

SCORES: tuple[AnswerKind, ...] = ("probs", "top_k")
LABELS: tuple[AnswerKind, ...] = ("label",)
LARGE = 64  # pixels of the shorter side of a picture that may be fit for a public backbone
PUBLIC = "backbone:efficientnet-lite0"  # the student of an attacker who owns a public backbone
PROBED = f"{PUBLIC},frozen=true"  # of one who trains its last layer only
DEFAULT: Level = "quick"  # of an audit that names no attack


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One attack of a panel.

    Attributes:
        attack: its name, with its profile.
        answers: the kinds of answers with which the panel runs it.
        data: the proxy data of an attack that needs some. pool: those of the spec, by default the
            pictures that come with clonecost; picture: one of these; kind: pictures like the
            victim's own training data.
        settings: of the attack, unless the spec sets them.
        pieces: it needs probabilities that are constant in pieces, as those of a tree are; labels
            do not tell.
        exact: it needs rows in float64, and answers that are not constant in pieces.
        late: it searches first, and its clone is good only then: the stop rule does not end it.
        words: of texts, the attacker needs their words only.
        large: it needs a victim of colour pictures of at least `LARGE` pixels a side, on which
            public backbones are trained.
        encoder: of texts, it needs the weights of a public sentence embedding.
        student: of the entry, unless the spec names one; None: the spec's.
    """

    attack: str
    answers: tuple[AnswerKind, ...] = (*SCORES, *LABELS)
    data: Data = "pool"
    settings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    pieces: bool = False
    exact: bool = False
    late: bool = False
    words: bool = False
    large: bool = False
    encoder: bool = False
    student: str | None = None


@dataclass(frozen=True, kw_only=True)
class PanelLevel:
    """A panel: its default limits, and its entries for images and for tables.

    Attributes:
        budget: rows of all entries and of the watch rows together.
        minutes: from its start; None: no limit.
    """

    summary: str
    budget: int
    minutes: float | None
    images: tuple[Entry, ...]
    table: tuple[Entry, ...]
    text: tuple[Entry, ...]


_IMAGES = (
    Entry(attack="frozen_head", large=True),
    Entry(attack="knockoff:linear_probe", large=True, student=PROBED),
    Entry(attack="knockoff:shared", answers=SCORES),
    Entry(attack="copycat:shared", answers=LABELS),
    Entry(attack="ex_nihilo"),
    Entry(attack="frugal_ripper"),
)
_MORE_IMAGES = (
    *_IMAGES,
    Entry(attack="knockoff:fine_tune", large=True, student=PUBLIC),
    Entry(attack="jbda", data="kind"),
    Entry(attack="active_thief:shared"),
    Entry(attack="single_image", data="picture"),
    Entry(attack="disguide"),
)
_TABLE = (
    Entry(attack="tramer_lr", answers=SCORES),
    Entry(attack="lowd_meek", answers=("top_k", *LABELS)),
    Entry(attack="relu_exact", answers=("probs",), exact=True, late=True),
    Entry(attack="tramer_adaptive_retrain"),
    Entry(attack="tramer_adaptive_retrain:boosted", pieces=True),
    Entry(attack="tramer_tree", answers=SCORES, pieces=True),
    Entry(attack="threshold_harvest", answers=SCORES, pieces=True, late=True),
)
_MORE_TABLE = (
    *_TABLE,
    Entry(attack="tramer_mlp", answers=SCORES),
    Entry(attack="tramer_kernel_lr", answers=SCORES),
    Entry(attack="tramer_tree_top_down", answers=SCORES, pieces=True),
)

_TEXT = (
    Entry(attack="text_knockoff:salad", words=True),
    Entry(attack="text_knockoff"),
    Entry(attack="text_knockoff:embedding", encoder=True),
    Entry(attack="tfidf_exact", answers=SCORES, words=True),
)

LEVELS: dict[Level, PanelLevel] = {
    "quick": PanelLevel(
        summary="the strongest attack for each thing that an attacker may own, in 10 minutes",
        budget=10_000, minutes=10, images=_IMAGES, table=_TABLE, text=_TEXT,
    ),
    "standard": PanelLevel(
        summary="more attacks and pictures of the victim's kind, in an hour",
        budget=50_000, minutes=60, images=_MORE_IMAGES, table=_MORE_TABLE, text=_TEXT,
    ),
    "thorough": PanelLevel(
        summary="all of these and the published attacks without data, without a time limit",
        budget=300_000, minutes=None,
        images=(*_MORE_IMAGES, Entry(attack="marich:shared", answers=LABELS),
                Entry(attack="dual_students"), Entry(attack="maze", answers=SCORES)),
        table=_MORE_TABLE, text=_TEXT,
    ),
}  # fmt: skip


def panel_level(level: Level) -> PanelLevel:
    """The panel of a level."""
    return LEVELS[level]
