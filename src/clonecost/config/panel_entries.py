"""The entries of a panel for a spec: chosen by what their attacks declare, each with its own spec.

`entries_of` reads the spec only, so that `plan` prints the panel before anything is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from clonecost.attacks.base import Attack
from clonecost.audit.attack_traits import least_budget
from clonecost.backbones.catalogue import kind_of
from clonecost.config.defaults import (
    answers_of,
    multi_label,
    proxy_name,
    stated_classes,
    takes_of,
    victim_shape,
)
from clonecost.config.lookup import make_attack
from clonecost.config.panels import LARGE, Entry, panel_level
from clonecost.config.schema import Spec
from clonecost.data.catalogue import DATASETS
from clonecost.errors import Advice, DropKey, SetKey, SpecError
from clonecost.students.naming import parse_student
from clonecost.text.sentence_embedding import PACKAGE
from clonecost.types import InputPrecision, Shape, richness
from clonecost.victims.file_kinds import OF_TABLES
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, VICTIMS

WATCH_SHARE = 0.04  # of the budget: what the watch rows may cost
WATCH_PART = 200  # rows of one kind, at most
FINGERPRINT, LEAST_FINGERPRINT = 300, 40  # rows of the look for a public backbone
LEAST_PART = 25  # rows of one kind: of fewer, the stop rule could never tell two clones apart
ROWS_OF_A_CLASS = 2  # from fewer rows of an entry no clone of `digits-lenet` learns anything


@dataclass(frozen=True, kw_only=True)
class PlannedEntry:
    """One entry of a panel, for one seed.

    Attributes:
        name: unique in its panel.
        owns: what the attacker owns, in words.
        spec: of its own run, with the budget 1: the panel gives it its budget when its turn comes.
        missing: why it cannot be run, one sentence without its full stop; empty: it can.
        pieces: it needs probabilities that are constant in pieces.
        exact: it needs answers that are not.
        late: its clone is good only after its search: the stop rule does not end it.
    """

    name: str
    attack: str
    owns: str
    seed: int
    spec: Spec
    missing: str = ""
    pieces: bool = False
    exact: bool = False
    late: bool = False

    @property
    def made(self) -> Attack:
        """The attack with its settings."""
        return make_attack(self.attack, self.spec.set)


def panel_attacks(spec: Spec) -> list[str]:
    """The attacks of the spec's panel that fit its victim's kind and its answers.

    Example:
        >>> panel_attacks(Spec(victim="iris-softmax", panel="quick", answers="label"))
        ['lowd_meek', 'tramer_adaptive_retrain', 'tramer_adaptive_retrain:boosted']
    """
    return [entry.attack for entry in _entries(spec)]


def possible_attacks(spec: Spec) -> list[str]:
    """The panel's attacks, those included that the size of the test rows may add; [] without one.

    Example:
        >>> "frozen_head" in possible_attacks(Spec(victim="model.onnx", panel="quick"))
        True
    """
    if spec.panel is None or takes_of(spec) != "images" or victim_shape(spec):
        return panel_attacks(spec)
    return panel_attacks(spec.model_copy(update={"shape": [3, LARGE, LARGE]}))


def sized(spec: Spec, shape: Shape) -> Spec:
    """The spec with the shape of its test rows, if only they show that pictures are large.

    Its attacks are then those for large pictures, too.
    """
    if takes_of(spec) != "images" or victim_shape(spec) or not is_large(shape):
        return spec
    large = spec.model_copy(update={"shape": list(shape)})
    return large.model_copy(update={"attack": panel_attacks(large)})


def panel_settings(spec: Spec) -> dict[str, dict[str, Any]]:
    """The settings of the panel's attacks: those of the spec over those of the panel."""
    found: dict[str, dict[str, Any]] = {}
    for entry in _entries(spec):
        base = entry.attack.partition(":")[0]
        found[base] = {**found.get(base, {}), **entry.settings}
    for name, own in spec.set.items():
        found[name] = {**found.get(name, {}), **own}
    return {name: own for name, own in found.items() if own}


def entries_of(spec: Spec) -> list[PlannedEntry]:
    """The entries of a checked spec's panel in the order in which they run, one for each seed."""
    found = []
    several = len(spec.seed) > 1
    for entry in _entries(spec):
        base = entry.attack.partition(":")[0]
        uses = make_attack(entry.attack, spec.set).declares.proxy != "none"
        kind = _own_kind(spec) if uses and entry.data == "kind" else None
        proxy = kind or spec.proxy
        missing = ""
        if uses and entry.data == "kind" and kind is None:
            missing = (
                "it needs a few pictures of the kind that the model was trained on, which only you "
                f"have: an audit with the attack {entry.attack} and them as proxy data runs it"
            )
        if entry.large:
            missing = _no_backbone(entry, spec)
        if entry.encoder:
            missing = _no_encoder()
        if entry.exact and spec.input_precision != "float64":
            missing = "it needs rows in float64, which this model is not known to take"
        own = {base: spec.set[base]} if base in spec.set else {}
        for seed in spec.seed:
            single = spec.model_copy(update={
                "panel": None, "minutes": None, "max_usd": None, "budget": 1, "attack":
                [entry.attack], "seed": [seed], "set": own, "proxy": proxy if uses else None,
                "student": spec.student or entry.student,
            })  # fmt: skip
            found.append(PlannedEntry(
                name=f"{entry.attack}, seed {seed}" if several else entry.attack,
                attack=entry.attack, owns=_owns(entry, spec, uses=uses), seed=seed, spec=single,
                missing=missing, pieces=entry.pieces, exact=entry.exact,
                late=entry.late,
            ))  # fmt: skip
    return found


def panel_precision(written: Mapping[str, Any], spec: Spec) -> InputPrecision:
    """Of the rows of a panel: as written, else float64 for models known to be estimators.

    Example:
        >>> spec = Spec(victim="wine-relu", panel="quick")
        >>> panel_precision({}, spec), panel_precision({"input_precision": "float32"}, spec)
        ('float64', 'float32')
    """
    estimator = spec.victim in TABLE_VICTIMS or Path(spec.victim).suffix.lower() in OF_TABLES
    if "input_precision" in written or not estimator or takes_of(spec) != "table":
        return spec.input_precision
    return "float64"


def watch_rows(spec: Spec, parts: int) -> int:
    """Rows of each of the kinds of watch rows; 0: the budget is too small for any."""
    if multi_label(spec):  # detectors read one class of an answer
        return 0
    each = min(WATCH_PART, int(spec.budget * WATCH_SHARE / parts))
    return each if each >= LEAST_PART else 0


def watch_parts(spec: Spec) -> tuple[str, ...]:
    """The kinds of watch rows, by name."""
    return {
        "images": ("public pictures", "drawings"), "table": ("uniform rows",),
        "text": ("public sentences", "random words"),
    }[takes_of(spec)]  # fmt: skip


def looking_entry(spec: Spec) -> PlannedEntry | None:
    """The first entry whose attack needs the victim's backbone, which rows can show; None: none."""
    found = (one for one in entries_of(spec) if one.attack == "frozen_head" and not one.missing)
    return next(found, None)


def fingerprint_rows(spec: Spec) -> int:
    """Rows by which the panel looks for a public backbone; 0: it does not look for one."""
    rows = min(FINGERPRINT, int(spec.budget * WATCH_SHARE))
    return rows if rows >= LEAST_FINGERPRINT and looking_entry(spec) else 0


def rows_before(spec: Spec) -> int:
    """Rows that the panel buys before its attacks: watch rows and the look for a backbone."""
    names = watch_parts(spec)
    return len(names) * watch_rows(spec, len(names)) + fingerprint_rows(spec)


def measures_labels(spec: Spec) -> bool:
    """Whether the panel runs an attack again with labels only, to measure what that takes.

    An API that gives labels only shows it already, and behind a defence it would be no comparison
    with the victim as it is.
    """
    return spec.panel is not None and answers_of(spec)[0] != "label" and not spec.defence


def parts_of(spec: Spec) -> int:
    """The equal parts of the budget: one for each entry, one for the measure with labels only."""
    return len(entries_of(spec)) + measures_labels(spec)


def of_one_entry(spec: Spec) -> Spec:
    """The spec with the budget that each entry of its panel gets if all use theirs up.

    A spec without a panel is returned as it is.
    """
    if spec.panel is None:
        return spec
    rows = spec.budget - rows_before(spec)
    return spec.model_copy(update={"budget": max(1, rows // parts_of(spec))})


def least_of(entry: PlannedEntry, classes: int) -> int:
    """The rows below which an entry's attack has no clone that learnt anything.

    Args:
        classes: of the victim.
    """
    return max(ROWS_OF_A_CLASS * classes, least_budget(entry.made))


def least_share(spec: Spec, classes: int) -> int:
    """The rows below which no entry of a checked spec's panel has a clone that learnt anything."""
    return min(least_of(entry, classes) for entry in entries_of(spec) if not entry.missing)


def must_fit(spec: Spec, classes: int | None = None) -> None:
    """Refuse a panel of which no entry fits the budget.

    Args:
        classes: of the victim; None: as far as the spec states them, else two.

    Raises:
        SpecError: no attack suits the victim's answers, or the budget is too small for any.
    """
    if all(entry.missing for entry in entries_of(spec)):
        raise SpecError("No attack of the panel suits this victim", SetKey("attack"))
    classes = classes or stated_classes(spec) or 2
    share, least, parts = of_one_entry(spec).budget, least_share(spec, classes), parts_of(spec)
    if spec.budget < parts or share < least:
        want = spec.model_copy(update={"budget": least * parts})
        if of_one_entry(want).budget < least:  # such a budget buys other rows, too
            part = 1 - WATCH_SHARE * (1 + (looking_entry(spec) is not None))
            want = want.model_copy(update={"budget": ceil(least * parts / part)})
        raise SpecError(
            f"The budget fits no attack of the panel: it is divided among {parts} runs, and of "
            f"fewer than {least:,} rows each none learns to tell {classes:,} classes apart",
            SetKey("budget", want.budget), SetKey("attack"), got=spec.budget,
            want=f"at least {want.budget:,}",
        )  # fmt: skip


def check_panel(written: Mapping[str, Any], spec: Spec) -> None:
    """Refuse keys that contradict a panel, or that need one.

    Args:
        written: the keys as the person wrote them.

    Raises:
        SpecError: an attack and a panel are both named, a white box has a panel, a limit of money
            has no price, or there are limits of a panel without one.
    """
    if spec.panel is None:
        for key in ("minutes", "max_usd"):
            if getattr(spec, key) is not None:
                raise SpecError(
                    f"The key {key} limits a panel of attacks, and this audit names its attack",
                    DropKey(key), DropKey("attack"),
                )  # fmt: skip
        return
    if "attack" in written:
        raise SpecError(
            "An audit runs either the attacks that you name or a panel of attacks, not both",
            DropKey("panel"),
            DropKey("attack"),
        )
    if spec.access == "white-box":
        raise SpecError(
            "A panel attacks through the API, and a white-box reference reads the network: name "
            "the reference",
            SetKey("attack"), SetKey("access", "black-box"),
        )  # fmt: skip
    if spec.max_usd is not None and not spec.price:
        raise SpecError("A limit of money needs the price of a query", SetKey("price"))


def _entries(spec: Spec) -> list[Entry]:
    if spec.panel is None:
        return []
    takes, (kind, _), several = takes_of(spec), answers_of(spec), multi_label(spec)
    level, shape = panel_level(spec.panel), victim_shape(spec)
    of_kind = {"images": level.images, "table": level.table, "text": level.text}
    return [
        entry
        for entry in of_kind[takes]
        if kind in entry.answers
        and (not entry.large or (shape is not None and is_large(shape)))
        and richness(make_attack(entry.attack, {}).declares.needs) <= richness(kind)
        and (make_attack(entry.attack, {}).declares.multi_label or not several)
        and not (entry.student and several)
    ]


def is_large(shape: Shape) -> bool:
    """Whether inputs of this shape are colour pictures of a public backbone's size.

    Example:
        >>> is_large((3, 224, 224)), is_large((1, 28, 28))
        (True, False)
    """
    return len(shape) == 3 and shape[0] == 3 and min(shape[1:]) >= LARGE


def _no_backbone(entry: Entry, spec: Spec) -> str:
    """Why the entry has no backbone; empty: it has one."""
    name = str(getattr(make_attack(entry.attack, spec.set), "backbone", ""))
    if entry.student:
        if spec.student and parse_student(spec.student).kind in ("catalogue", "code"):
            return f"it needs a student with a public backbone, and yours is {spec.student}"
        name = parse_student(entry.student).name if spec.student is None else ""
    if not name:
        return ""
    try:
        kind_of(name)
    except SpecError as problem:
        advice = "; ".join(one.sentence for one in problem.remedies if isinstance(one, Advice))
        return f"{problem.fact.removesuffix('.')} ({advice})" if advice else problem.fact
    return ""


def _no_encoder() -> str:
    """Why the entry has no sentence embedding; empty: it has one."""
    if find_spec(PACKAGE):
        return ""
    name = PACKAGE.replace("_", "-")
    return f"it needs the public sentence embedding in the package {name}, which is not installed"


def _own_kind(spec: Spec) -> str | None:
    """The victim's own training data, where the zoo knows them."""
    return VICTIMS[spec.victim].dataset if spec.victim in VICTIMS else None


def _owns(entry: Entry, spec: Spec, *, uses: bool) -> str:
    takes = takes_of(spec)
    if takes == "table":
        return "the ranges of the columns"
    if takes == "text":
        words = "words of" if entry.words else "the texts of"
        public = " and a public sentence embedding" if entry.encoder else ""
        return f"{words} {proxy_name(spec)}{public}"
    if not uses:
        return "nothing"
    if entry.data == "kind":
        return "a few pictures of the victim's kind"
    name = proxy_name(spec)
    if entry.data == "picture":
        return f"one public picture ({name})"
    data = f"public pictures ({name})"
    if name.partition(":")[0] not in DATASETS:
        data = f"the data {name}"
    return f"{data} and a public backbone" if entry.large else data
