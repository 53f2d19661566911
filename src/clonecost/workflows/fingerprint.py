"""Fingerprint: what a few hundred answers show of a victim of pictures, before any attack.

Every row is counted in the ledger of a folder of its own. The rows are public pictures; none is a
test row. The first rows are asked twice, and one in each of some other sizes.
"""

import json
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.audit.definition import name_of, settings_of
from clonecost.backbones import load_backbone
from clonecost.backbones.catalogue import BACKBONES, NORMALISATIONS, Normalisation, kind_of
from clonecost.config import Spec, load_parts, lost_limit, make_defence, must_consent
from clonecost.config.build import Parts
from clonecost.config.defaults import takes_of
from clonecost.defences import defend, must_fit
from clonecost.errors import DataError, RunWorkflow, SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.result.fingerprint import Applies, BackboneSign, Fingerprint, Sign
from clonecost.tabular.answer_digits import Width, step_of, width_of
from clonecost.tabular.linear_head import solve_head
from clonecost.types import AnswerKind, Progress, ProxyData, Shape, answered, no_progress
from clonecost.workflows.other_sizes import try_sizes

DOCUMENT = "fingerprint.json"
BUDGET, LEAST = 300, 40  # rows: the default, and the fewest of which anything can be said
TWICE = 8  # rows that are asked twice
SCREENED = 100  # rows by which a backbone's normalisation is chosen
BATCH = 64  # rows of a call
SEED = 16_2026  # draws the rows of the pool
EXACT = 1e-4  # share of the variation that a recognised backbone leaves
TOLD = 1.05  # rows for each unknown of a class, from which a frozen backbone is recognised
LEFT = 0.2  # a likely backbone leaves at most so much of what mean colours leave
# of answers that show less: explained by a likely backbone, and by so much more than by colours
LIKELY, ABOVE = 0.4, 0.25
STEADY = 1e-5  # of a probability: the change of float32 arithmetic
SIDE = 8  # of the mean colours
SMALLEST = 32  # side of a picture of which a listed backbone makes features


@dataclass(frozen=True)
class Guess:
    """One entry of the dictionary: a backbone, and how its pixels are normalised."""

    name: str
    normalisation: Normalisation | None  # None: its own
    size: int | None = None  # likewise


def dictionary(own: Sequence[str]) -> list[Guess]:
    """The listed backbones that are installed and those of the caller, with each normalisation.

    Own code normalises its pixels itself.

    Raises:
        SpecError: a name is no backbone.
    """
    listed = [name for name, card in BACKBONES.items() if card.installed]
    found: list[Guess] = []
    for name in dict.fromkeys([*own, *listed]):
        several = NORMALISATIONS if kind_of(name) != "code" else (None,)
        found += [Guess(name, one) for one in several]
    return found


def fingerprint(
    spec: Spec, out: Path, *, backbones: Sequence[str] = (), consent: Container[str] = (),
    progress: Progress = no_progress,
) -> Fingerprint:  # fmt: skip
    """Ask a victim of pictures `spec.budget` public pictures, and say what its answers show.

    Writes `out/fingerprint.json` and the ledger beside it, with which the same call resumes.

    Args:
        backbones: further ones for the dictionary: ONNX files, or `module:name` of own code.
        consent: what the person agreed to, as KIND:WHAT, see `must_consent`.

    Raises:
        ConsentError: the spec would run or contact what the person has not agreed to.
        SpecError: the victim takes rows of a table, a backbone is unknown, or the budget too small.
        CloneCostError: the victim cannot be loaded or queried; every paid answer is kept.

    Example:
        >>> fingerprint(make_spec({"victim": "digits-lenet", "budget": 100}), Path("runs/who")).step
        0.0
    """
    if spec.budget < LEAST:
        raise SpecError("A fingerprint of so few rows shows nothing", SetKey("budget", BUDGET),
                        got=spec.budget, want=f"at least {LEAST}")  # fmt: skip
    guesses = dictionary(backbones)
    spec = spec.model_copy(update={"attack": ["knockoff"], "panel": None})  # which sends a pool
    if (takes := takes_of(spec)) != "images":
        rows = "rows of a table" if takes == "table" else "texts"
        raise SpecError(
            f"A fingerprint looks for a backbone of pictures, and {spec.victim} takes {rows}",
            RunWorkflow("audit", spec.victim),
        )
    must_consent(spec, consent, where="The spec")
    parts = load_parts(spec, progress, consent=consent)
    assert parts.proxy is not None
    run_folder.make(out)
    sizes = try_sizes(spec, parts, parts.proxy, out)
    found = examine(
        spec, parts, parts.proxy, out / run_folder.LEDGER, guesses, rows=spec.budget - len(sizes),
        progress=progress,
    )  # fmt: skip
    asked = found.asked + len(sizes)
    found = found.model_copy(update={"sizes": sizes, "asked": asked})
    run_folder.write(out / DOCUMENT, found.model_dump_json(indent=1) + "\n")
    return found


def examine(
    spec: Spec, parts: Parts, pool: ProxyData, file: Path, guesses: Sequence[Guess], *, rows: int,
    progress: Progress,
) -> Fingerprint:  # fmt: skip
    """Ask loaded parts `rows` pictures of a pool, and say what the answers show.

    Args:
        file: the ledger.
        guesses: the dictionary.

    Raises:
        CloneCostError: as the oracle, or the victim refused most of the pictures.
    """
    threat = parts.threat
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(SEED))
    places = order[: rows - TWICE]
    places = torch.cat([places[:TWICE], places])  # the first rows of the ledger, whatever follows
    defences = [make_defence(text) for text in spec.defence]
    must_fit(defences, threat)
    identity = {
        "fingerprint": [parts.victim.name, parts.victim.weights], "pool": pool.fingerprint,
        "defences": [[name_of(one), settings_of(one)] for one in defences],
        "answers": [threat.answers, threat.top_k, threat.input_precision],
    }  # fmt: skip
    ledger = Ledger(
        file, audit=json.dumps(identity, sort_keys=True),
        input_shape=threat.input_shape, num_classes=threat.num_classes,
    )  # fmt: skip
    with closing(ledger):
        oracle = Oracle(
            defend(parts.victim.answer, *defences), replace(threat, query_budget=len(places)),
            ledger, max_lost=lost_limit(spec), rows_in_flight=parts.victim.rows_in_flight,
            skips_refused=True,
        )  # fmt: skip
        bought = [oracle(pool.rows(places[:TWICE]), index=places[:TWICE]).cpu()]
        for part in places[TWICE:].split(BATCH):
            bought.append(oracle(pool.rows(part), index=part).cpu())
            progress("asking public pictures", oracle.spent, len(places))
    again, answers = torch.cat(bought).tensor_split([TWICE])
    told = answered(answers)
    if told.sum() < LEAST // 2:
        raise DataError(f"{parts.victim.name} refused most of the pictures", SetKey("proxy"))
    both = told[:TWICE] & answered(again)
    changed = (answers[:TWICE] - again)[both].abs()
    seen = _Seen(pool, places[TWICE:][told], answers[told], threat.answers)
    width = seen.width
    plain = seen.explained_by(seen.colours())
    found = Fingerprint(
        victim=parts.victim.name, input_shape=threat.input_shape, classes=threat.num_classes,
        asked=len(places), pool=pool.name, answers=seen.kind,
        changed=float(changed.max()) if changed.numel() else 0.0, step=seen.step,
        zeros=float((seen.answers == 0).double().mean()), confidence=seen.confidence,
        width=width.rank if width else None, width_seen=bool(width and width.seen),
        colours=plain, backbones=_signs(seen, guesses, plain, progress), attacks=[],
    )  # fmt: skip
    return found.model_copy(update={"attacks": applicable(found)})


def _signs(
    seen: "_Seen", guesses: Sequence[Guess], plain: float, progress: Progress
) -> list[BackboneSign]:
    """The sign of each backbone of the dictionary, the best first.

    Of its normalisations and sizes the pair that explains most of the first rows is compared on
    all.
    """
    guesses = [*guesses, *_at_the_victims_size(guesses, seen.pool.shape)]
    first = replace(seen, places=seen.places[:SCREENED], answers=seen.answers[:SCREENED])
    chosen: dict[str, tuple[float, Guess]] = {}
    several = {name for name, guessed in Counter(g.name for g in guesses).items() if guessed > 1}
    for guess in guesses:
        share = first.sign_of(guess, plain, progress).explained if guess.name in several else 0.0
        if guess.name not in chosen or share > chosen[guess.name][0]:
            chosen[guess.name] = share, guess
    found = [seen.sign_of(guess, plain, progress) for _, guess in chosen.values()]
    return sorted(found, key=lambda one: -one.explained)


def _at_the_victims_size(guesses: Sequence[Guess], shape: Shape) -> list[Guess]:
    """The listed backbones with pictures as the victim takes them: it may resize none itself."""
    *_, height, width = shape
    return [
        replace(one, size=height)
        for one in guesses
        if one.name in BACKBONES and one.size is None
        if height == width >= SMALLEST and height != BACKBONES[one.name].side
    ]  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """The answers, and the pictures of the pool that they are of."""

    pool: ProxyData
    places: Tensor
    answers: Tensor
    stated: AnswerKind

    @property
    def kind(self) -> AnswerKind:
        return "label" if bool((self.answers.amax(1) == 1).all()) else self.stated

    @property
    def step(self) -> float:
        return step_of(self.answers) if self.kind == "probs" else 0.0

    @property
    def width(self) -> Width | None:
        return width_of(self.answers) if self.kind == "probs" and not self.step else None

    @property
    def confidence(self) -> list[float]:
        top = self.answers.amax(1)
        return [float(top.quantile(share)) for share in (0.1, 0.5, 0.9)]

    def colours(self) -> Tensor:
        """(n, 192) mean colours."""
        parts = self.places.split(BATCH)
        return torch.cat([F.adaptive_avg_pool2d(self.pool.rows(p), SIDE).flatten(1) for p in parts])

    def explained_by(self, features: Tensor) -> float:
        """The share of the answers' variation on rows left out; of labels, above the majority."""
        head = solve_head(features, self.answers, self.kind, step=self.step)
        if self.kind != "label":
            return head.explained
        majority = float(self.answers.double().mean(0).max())
        return (head.held_out - majority) / max(1 - majority, 1e-9)

    def sign_of(self, guess: Guess, plain: float, progress: Progress) -> BackboneSign:
        """How well a backbone explains the answers, against `plain` mean colours."""
        backbone = load_backbone(guess.name, size=guess.size, normalisation=guess.normalisation)
        made: list[Tensor] = []
        for part in self.places.split(BATCH):
            made.append(backbone(self.pool.rows(part)))
            progress(f"features by {guess.name}", sum(map(len, made)), len(self.places))
        explained = self.explained_by(torch.cat(made))
        if self.kind == "probs" and not self.step:
            likely = 1 - explained <= LEFT * (1 - plain)
        else:
            likely = explained >= max(LIKELY, plain + ABOVE)
        sign: Sign = "likely" if likely else "no sign"
        frozen: bool | None = None
        if self.kind != "label" and 1 - explained < EXACT <= 1 - plain:
            sign, frozen = "recognised", True
        elif sign == "likely" and self.kind == "probs" and not self.step:
            enough = len(self.places) >= ceil(TOLD * (backbone.features + 1))
            frozen = False if enough else None
        return BackboneSign(
            name=guess.name, normalisation=guess.normalisation or "own", size=guess.size,
            features=backbone.features, explained=explained, sign=sign, frozen=frozen,
        )  # fmt: skip


def applicable(found: Fingerprint) -> list[Applies]:
    """Which attacks the answers speak for, and what they cost as far as the answers show it."""
    best, whole = found.best, found.answers == "probs" and not found.step
    shown = _shown(found)
    if best is not None:
        exact = whole and best.frozen is not False
        head = Applies(
            attack="frozen_head", applies=True, why=f"{best.name} explains {_head_of(found, best)}",
            queries=ceil(1.2 * (best.features + 1)) if exact else None,
        )  # fmt: skip
    else:  # equations do harm on an unrelated backbone: docs/fingerprint.md
        head = Applies(attack="frozen_head", applies=False, queries=None,
                       why="no backbone of the dictionary explains the answers: "
                       "knockoff:linear_probe fits the same layer, and chooses how")  # fmt: skip
    steady = found.changed < STEADY
    smooth = (
        "the answers are probabilities with all digits, the same each time"
        if whole and steady
        else f"the answers are {shown}"
        if steady
        else "a row's answer changes from time to time"
    )
    pool = "copycat:shared" if found.answers == "label" else "knockoff:shared"
    return [
        head,
        Applies(attack="dfme", applies=whole and steady, why=smooth, queries=None),
        Applies(attack=pool, applies=True, why="public pictures and their answers", queries=None),
    ]


def _shown(found: Fingerprint) -> str:
    return {"label": "labels only", "top_k": "the likeliest classes only"}.get(
        found.answers, f"rounded to {found.step:g}" if found.step else "unrounded probabilities"
    )


def _head_of(found: Fingerprint, best: BackboneSign) -> str:
    """What a solved head is worth, after "the backbone explains"."""
    if found.answers != "probs" or found.step:
        return (
            f"the answers, which are {_shown(found)}, so that its head is an estimate that grows "
            "with queries"
        )
    if best.frozen is False:
        return (
            f"{best.explained:.1%} of the answers, and a frozen one explains all: its owner has "
            "trained it, too, so that no number of queries makes its head exact"
        )
    if best.frozen:
        return "all of the answers: its head is exact from so many queries"
    return (
        "the answers: its head is exact from so many queries, if the backbone is frozen, which "
        f"{ceil(TOLD * (best.features + 1)) + TWICE:,} rows show"
    )
