"""The checks of an audit, before anything is sent."""

import os
import shutil

from clonecost.attacks import ATTACKS
from clonecost.attacks.base import Attack, check_access
from clonecost.audit.attack_traits import least_budget, queries_per_iteration, refusal
from clonecost.audit.definition import Audit
from clonecost.countermeasures import Countermeasure, Known
from clonecost.countermeasures.base import name_of_countermeasure, own_rows
from clonecost.data.table_labels import must_be_indices
from clonecost.defences import must_fit
from clonecost.errors import (
    Advice,
    AnswersError,
    ChooseFrom,
    DropKey,
    QueryError,
    Remedy,
    SetKey,
    SpecError,
)
from clonecost.tabular.features import check_rows
from clonecost.training.recipes import NEED_BACKBONE, no_backbone
from clonecost.types import AnswerKind, Takes, ThreatModel, richness


def check(audit: Audit) -> None:
    """Refuse an audit that cannot work, before anything is sent.

    Raises:
        AnswersError: the attack needs richer answers, or the network itself.
        SpecError: shapes, classes, or settings contradict each other.
    """
    threat, attack = audit.threat, audit.attack
    check_access(attack, audit.attack_name, threat.access)
    if threat.access == "white-box":
        _check_white_box(audit)
    if threat.multi_label:
        _check_multi_label(audit)
    _check_kind(audit)
    must_fit(audit.defences, threat)
    needs = attack.declares.needs
    _must_show(
        threat.answers, needs,
        f"{audit.attack_name} needs richer answers than this threat model gives",
        SetKey("answers", needs), ChooseFrom("attacks"),
    )  # fmt: skip
    if audit.counter:
        _check_counter(audit, audit.counter)
    if attack.declares.proxy != "none" and not audit.proxy:
        raise SpecError(
            f"{audit.attack_name} needs proxy data, and the audit has none", SetKey("proxy")
        )
    if audit.options.compile != "no" and audit.options.device.type == "cpu" and not _compiler():
        raise SpecError(
            "compile needs a C++ compiler on a CPU, and none is found",
            DropKey("compile"),
            Advice("install g++, or name a compiler in the environment variable CXX"),
        )
    if attack.declares.proxy_labels and audit.proxy:
        classes = audit.proxy.labels.unique()
        if len(classes) < 2 or int(classes[0]) < 0:
            raise SpecError(
                f"{audit.attack_name} needs proxy data with labels of two classes or more, and "
                f"{audit.proxy.name or 'the proxy'} has none",
                SetKey("proxy"), ChooseFrom("attacks"),
            )  # fmt: skip
    _check_data(audit)
    if threat.takes == "images":
        student = audit.loaded_student  # raises if it does not fit
        if getattr(attack, "recipe", None) in NEED_BACKBONE and not student.backbone:
            raise no_backbone()
    least = least_budget(attack)
    if own_rows(threat.query_budget, audit.repeats) < least:
        part = "iteration" if queries_per_iteration(attack) == least else "clone"
        least *= audit.repeats
        raise SpecError(
            f"The budget is too small for one {part} of {audit.attack_name}",
            SetKey("budget", least), got=threat.query_budget, want=f"at least {least}",
        )  # fmt: skip
    audit.fitted_generators()  # last: a generator can still be trained


def _must_show(given: AnswerKind, needs: AnswerKind, what: str, *remedies: Remedy) -> None:
    if richness(needs) > richness(given):
        raise AnswersError(what, *remedies, got=repr(given), want=repr(needs))


def _check_data(audit: Audit) -> None:
    """Refuse rows of another shape, and labels of the test set that are no classes."""
    threat = audit.threat
    for what, data in (("test set", audit.test), ("proxy", audit.proxy)):
        if data is not None and data.shape != threat.input_shape:
            raise SpecError(
                f"The {what} {data.name} has another shape than the victim's inputs",
                Advice(f"load it with shape={threat.input_shape}"),
                got=data.shape, want=threat.input_shape,
            )  # fmt: skip
    if len(audit.test) == 0:
        raise SpecError("The test set is empty, so agreement cannot be measured", SetKey("test"))
    missing = int((audit.test.labels < 0).sum())
    if 0 < missing < len(audit.test):
        raise SpecError(
            f"{missing:,} of {len(audit.test):,} rows of the test set {audit.test.name} have no "
            "label. Accuracy needs a label for every row, and agreement needs none",
            Advice("give all rows a label, or none"), SetKey("test"),
        )  # fmt: skip
    if threat.features is not None:
        must_be_indices(audit.test, audit.loaded.classes)
    top = int(audit.test.labels.max())
    if top >= threat.num_classes:
        raise SpecError(
            "The test set has labels beyond the victim's classes",
            SetKey("class_names"), SetKey("test"), SetKey("classes"),
            got=f"label {top}", want=f"0 to {threat.num_classes - 1}",
        )  # fmt: skip


def _check_counter(audit: Audit, counter: Countermeasure) -> None:
    """Refuse a countermeasure that cannot work here."""
    threat, attack, name = audit.threat, audit.attack, name_of_countermeasure(counter)
    if threat.access == "white-box":
        raise SpecError(
            "A white-box reference gets no answer to change, so it takes no countermeasure",
            DropKey("counter"),
        )
    needs, gives = counter.declares.needs, counter.declares.gives
    _must_show(
        threat.answers, needs, f"{name} needs richer answers than this threat model gives",
        SetKey("answers", needs), DropKey("counter"),
    )  # fmt: skip
    if gives:
        _must_show(
            gives, attack.declares.needs,
            f"{audit.attack_name} needs richer answers than {name} leaves",
            DropKey("counter"), ChooseFrom("attacks"),
        )  # fmt: skip
    if threat.query_budget < counter.repeats:
        raise SpecError(
            f"The budget is smaller than the {counter.repeats} queries that {name} needs for a row",
            SetKey("budget", counter.repeats), SetKey("counter"),
            got=threat.query_budget, want=f"at least {counter.repeats}",
        )  # fmt: skip
    if refused := counter.unfit(Known.of(audit.defences, audit.seed), threat):
        raise refused


def _check_multi_label(audit: Audit) -> None:
    """Refuse what takes an answer as one class a row."""
    threat = audit.threat
    if not audit.attack.declares.multi_label or threat.access == "white-box":
        fitting = _declaring(takes=threat.takes, multi_label=True)
        remedies: list[Remedy] = [SetKey("attack")] if fitting else []
        raise SpecError(
            f"{audit.attack_name} takes one class a row, and the victim gives several labels",
            *remedies,
            Advice("wrap one of its labels in a function that returns the label's probability"),
            got=audit.attack_name if fitting else None, want=" or ".join(fitting) or None,
        )  # fmt: skip
    for key, given in (("defence", audit.defences), ("counter", audit.counter)):
        if given:
            raise SpecError(
                f"A {key} takes one class a row, and the victim gives several labels", DropKey(key)
            )


def _check_white_box(audit: Audit) -> None:
    if audit.loaded.network is None:
        raise SpecError(
            f"The victim {audit.loaded.name} gives answers only, and a white box needs its network",
            Advice("give a victim of the zoo, an nn.Module, or a weights file with `network`"),
            SetKey("access", "black-box"),
        )
    if audit.defences:
        raise SpecError(
            "A white-box reference reads the network behind the defences, so it takes none",
            DropKey("defence"),
        )


def _check_kind(audit: Audit) -> None:
    """Attack, victim and test rows must all be of images, or all of a table."""
    threat, attack = audit.threat, audit.attack
    check_takes(audit.attack_name, attack, threat.takes)
    for data in (audit.test, audit.proxy):
        if data is not None and getattr(data, "text", False) != threat.text:
            raise SpecError(
                f"{data.name or 'The data set'} and the threat model are of two kinds",
                Advice("texts are loaded by `clonecost.data.texts.load_texts`, for a threat model "
                       "with `text=True`"),
                got="images or a table" if threat.text else "texts", want=threat.takes,
            )  # fmt: skip
    if refused := refusal(attack, threat):
        raise SpecError(
            f"{audit.attack_name} cannot attack {audit.loaded.name}: {refused.fact}",
            *refused.remedies,
        )
    if threat.takes == "images":
        return
    kind = "texts" if threat.text else "a table"
    if audit.options.controls:
        raise SpecError(
            f"Controls train a student network, and an attack on {kind} has none",
            DropKey("controls"),
        )
    if audit.options.retrain:
        raise SpecError(
            f"An attack on {kind} makes a model of its own, and there is no student network to "
            "train again on the rows that it bought",
            DropKey("retrain"),
        )
    if threat.features is None:
        return
    try:
        check_rows(threat.features, audit.test.inputs, incomplete=threat.incomplete)
    except QueryError as error:
        raise SpecError(
            f"The test set {audit.test.name} does not fit the victim: {error.fact}",
            *error.remedies, SetKey("test"),
        ) from error  # fmt: skip


def check_takes(name: str, attack: Attack, takes: Takes) -> None:
    """Refuse an attack on one kind of rows against a victim of another kind.

    Raises:
        SpecError: with the attacks that fit.
    """
    theirs = attack.declares.takes
    if theirs == takes:
        return
    attacks = {"images": "images", "table": "tables", "text": "texts"}[theirs]
    victim = {"images": "images", "table": "rows of a table", "text": "texts"}[takes]
    if takes == "images":
        raise SpecError(
            f"{name} attacks {attacks}, and the victim takes {victim}", ChooseFrom("attacks")
        )
    raise SpecError(
        f"{name} attacks {attacks}, and the victim takes {victim}",
        SetKey("attack"), got=name, want=" or ".join(_declaring(takes=takes)),
    )  # fmt: skip


def skipping(threat: ThreatModel) -> list[str]:
    """The attacks that go on without an answer to some rows and fit the threat model.

    Example:
        >>> skipping(ThreatModel(input_shape=(1, 8, 8), num_classes=10, query_budget=500))
        ['active_thief', 'copycat', 'knockoff', 'knockoff_adaptive', 'marich']
    """
    found = {name: ATTACKS[name]() for name in _declaring(takes=threat.takes, skips_refused=True)}
    return [
        name for name, attack in found.items()
        if richness(attack.declares.needs) <= richness(threat.answers)
        and refusal(attack, threat) is None
    ]  # fmt: skip


def _declaring(**wanted: object) -> list[str]:
    """The attacks that declare these values, read without importing one."""
    usual = {"takes": "images", "multi_label": False}
    return [
        name for name in ATTACKS
        if wanted.items() <= {**usual, **ATTACKS.source(name).declared}.items()
    ]  # fmt: skip


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
