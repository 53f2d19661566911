"""A spec -> the parts that its audits share: data, victim, generators, student."""

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clonecost.config.consent import asking_for, consents_of_student, must_consent
from clonecost.config.defaults import (
    answers_of,
    class_names,
    endpoint_url,
    features_of,
    generators_of,
    multi_label,
    needs_proxy,
    of_table,
    of_text,
    proxy_name,
    stated_classes,
    student_name,
    test_name,
    text_options,
    victim_shape,
    with_class_names,
)
from clonecost.config.lookup import make_device
from clonecost.config.schema import Spec
from clonecost.data import load, load_proxy
from clonecost.data.class_names import must_be_all, renumbered
from clonecost.data.stated import StatedTable
from clonecost.data.table_labels import numbered_as
from clonecost.data.tables import check_table, load_table
from clonecost.data.texts import load_texts
from clonecost.errors import SetKey, SpecError
from clonecost.generators import TrainedGenerator, is_path, ready_generator
from clonecost.students import Student, load_student
from clonecost.types import (
    Feature,
    LabelledInputs,
    Progress,
    ProxyData,
    Shape,
    ThreatModel,
    narrower,
    no_progress,
)
from clonecost.victims import LoadedVictim, load_victim
from clonecost.victims.answer_form import answered_classes
from clonecost.victims.endpoints import RATE, endpoint_victim, must_be_allowed
from clonecost.victims.file_kinds import OF_TABLES
from clonecost.victims.input_form import InputForm
from clonecost.victims.load_text import load_text_victim
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, TEXT_VICTIMS, VICTIMS
from clonecost.victims.zoo.images import zoo_victim
from clonecost.victims.zoo.tabular import table_victim
from clonecost.victims.zoo.texts import zoo_text_victim

SPEC = "The spec"


@dataclass(frozen=True)
class Parts:
    """The parts that all audits of one spec share."""

    victim: LoadedVictim
    threat: ThreatModel
    test: LabelledInputs
    proxy: ProxyData | None
    generators: dict[str, TrainedGenerator]
    student: Student | None  # None: of a table or texts, whose attacks make their own


def load_parts(
    spec: Spec, progress: Progress = no_progress, *, consent: Container[str] = ()
) -> Parts:
    """Load the data and load (or train) the victim. Sends no row to the victim.

    An endpoint gets a request for its metadata, if the spec has the permission to query it.

    Args:
        consent: what the person agreed to, see `must_consent`.

    Raises:
        CloneCostError: the data or the victim cannot be loaded, or do not fit the spec.
    """
    must_consent(spec, consent, where=SPEC)
    if url := endpoint_url(spec):
        must_be_allowed(url, spec.authorisation)
    if of_table(spec):  # an audit with neither proxy nor student
        victim, test = load_table_parts(spec, progress, consent=consent)
        victim, threat = load_attacked(spec, test, progress, consent=consent, victim=victim)
        test = numbered_for(spec, test, victim)
        return Parts(victim, threat, test, None, {}, None)
    # The data come first: a mistake in their name must show before a victim is trained.
    test = load_test(spec, progress)
    shape, proxy = test.shape, None
    if needs_proxy(spec):
        proxy = load_pool(spec, shape, progress)
    own_data = None
    if spec.controls and spec.victim in VICTIMS:
        own_data = load(test_name(spec), "train", root=spec.data, shape=shape, progress=progress)
    generators = _generators(spec, proxy, make_device(spec.device), progress)
    victim, threat = load_attacked(spec, test, progress, consent=consent)
    test, victim = numbered_for(spec, test, victim), replace(victim, true_labels=own_data)
    student = None if threat.text else bring_student(spec, threat, consent=consent)
    return Parts(victim, threat, test, proxy, generators, student)


def load_pool(
    spec: Spec, shape: Shape | None, progress: Progress = no_progress, *, download: bool = True
) -> ProxyData:
    """The proxy data of a spec for rows of a shape; texts that are longer are cut.

    Raises:
        CloneCostError: they cannot be loaded, or do not fit.
    """
    if of_text(spec):
        options = replace(text_options(spec), longest=shape[0] if shape else None, cut=True,
                          labels=False)  # fmt: skip
        return load_texts(proxy_name(spec), "train", options)
    return load_proxy(
        proxy_name(spec), root=spec.data, shape=shape, progress=progress, download=download,
        background=spec.background,
    )  # fmt: skip


def load_table_parts(
    spec: Spec, progress: Progress = no_progress, *, consent: Container[str] = ()
) -> tuple[LoadedVictim | None, LabelledInputs]:
    """The victim of a table, if it is loaded before its rows, and the test rows.

    A model in Python, in a .skops file or in a booster's file states its columns, categories and
    classes, by which the rows are read; all other victims are loaded for the rows: None.

    Args:
        consent: what the person agreed to, see `must_consent`.

    Raises:
        CloneCostError: the rows or the victim cannot be loaded, or do not fit each other.
    """
    check_table(test_name(spec))  # a mistake in its name must show before a victim is trained
    in_python = ":" in spec.victim and not endpoint_url(spec)
    if Path(spec.victim).suffix.lower() not in OF_TABLES and not in_python:
        return None, load_table(
            test_name(spec), "test", features_of(spec), incomplete=spec.incomplete
        )
    victim = bring_victim(
        spec, None, spec.classes, make_device(spec.device), progress, consent=consent
    )
    stated = victim.table.stated if victim.table else StatedTable()
    test = load_table(
        test_name(spec), "test", features_of(spec), stated, incomplete=spec.incomplete
    )
    return victim.fitted_to(test.features), test


def load_test(spec: Spec, progress: Progress = no_progress) -> LabelledInputs:
    """The test images or texts of a spec, in the victim's shape, with the victim's class numbers.

    Raises:
        CloneCostError: they cannot be loaded, or have other classes than the victim.
    """
    several = multi_label(spec)
    names = class_names(spec)  # first: a mistake in them must show before images are read
    if of_text(spec):
        texts = load_texts(test_name(spec), "test", text_options(spec))
        return renumbered(texts, names) if names else texts
    test = load(
        test_name(spec), "test", root=spec.data, shape=victim_shape(spec), progress=progress,
        background=spec.background,
    )  # fmt: skip
    if several:  # a row's one label says nothing of the others
        return replace(test, labels=torch.full_like(test.labels, -1), classes=names)
    if names:
        return renumbered(test, names)
    if Path(spec.victim).suffix.lower() != ".onnx":  # such a file may name its classes
        must_be_all(test, spec.classes)
    return test


def numbered_for(spec: Spec, test: LabelledInputs, victim: LoadedVictim) -> LabelledInputs:
    """The test rows with the class numbers of a victim that states its classes once it is loaded.

    Raises:
        DataError: the rows have a class that the victim does not have.
    """
    if test.features is not None or test.text:
        return numbered_as(test, victim.classes)
    if multi_label(spec):
        return replace(test, classes=victim.classes)
    if not victim.classes or not test.classes or class_names(spec):
        return test
    return renumbered(test, victim.classes)


def load_attacked(
    spec: Spec, test: LabelledInputs, progress: Progress = no_progress, *,
    consent: Container[str] = (), victim: LoadedVictim | None = None,
) -> tuple[LoadedVictim, ThreatModel]:  # fmt: skip
    """Load the owner's side alone: the victim, and the threat model of the spec.

    An endpoint gets a request for its metadata, if the spec has the permission to query it.

    Args:
        consent: what the person agreed to, see `must_consent`.
        victim: the victim, if it is loaded already.

    Raises:
        CloneCostError: the victim cannot be loaded, or does not fit the spec.
    """
    if url := endpoint_url(spec):
        must_be_allowed(url, spec.authorisation)
    names = class_names(spec)
    several = multi_label(spec)  # then classes are labels, and an answer has two of each
    stated = stated_classes(spec) or (victim.num_classes if victim else None)
    classes = stated or (None if several else _count_classes(test))
    # the test rows show the least number of classes only, and an ONNX file has its own
    asked = None if not stated and Path(spec.victim).suffix.lower() == ".onnx" else classes
    known = names or test.classes
    described = with_class_names(spec, known if len(known) == classes else ())
    victim = victim or bring_victim(
        described, test.shape, asked, make_device(spec.device), progress, test.features,
        consent=consent,
    )  # fmt: skip
    names_needed = test.features is None and not test.text and not several
    if names_needed and not names and not victim.classes:
        must_be_all(test, victim.num_classes)
    # by the owner's own list the test rows are numbered
    victim = replace(victim, classes=(names if spec.class_names else ()) or victim.classes or names)
    if victim.takes == "uint8" and spec.input_precision != "uint8":
        raise SpecError(
            f"{victim.name} takes 8-bit pixels, and would round finer ones after the ledger has "
            "recorded them",
            SetKey("input_precision", "uint8"), got=f"input_precision {spec.input_precision}",
            want="uint8",
        )  # fmt: skip
    of_zoo = spec.victim in TABLE_VICTIMS
    if spec.input_precision == "float64" and test.features and not (of_zoo or victim.table):
        raise SpecError(
            f"{victim.name} is not known to take rows in float64, and would round them after the "
            "ledger has recorded them",
            SetKey("input_precision", "float32"), got="input_precision float64", want="float32",
        )  # fmt: skip
    num_classes = victim.num_classes or (classes and answered_classes(classes, spec.outputs))
    if num_classes is None:
        raise SpecError(
            f"{victim.name} does not say how many classes it has, and {test.name} has no labels "
            "to count them by",
            SetKey("classes"),
        )
    kind, top_k = narrower(answers_of(spec), victim.shows())
    threat = ThreatModel(
        input_shape=test.shape, num_classes=num_classes,
        query_budget=spec.budget, answers=kind, top_k=top_k, access=spec.access,
        input_precision=spec.input_precision, features=test.features, incomplete=spec.incomplete,
        multi_label=several,
        text=test.text,
    )  # fmt: skip
    return victim, threat


def _generators(
    spec: Spec, proxy: ProxyData | None, device: torch.device, progress: Progress
) -> dict[str, TrainedGenerator]:
    """The attacks' generators: from their folder, from the cache, or trained on the proxy now.

    All seeds share them, as they share the victim.
    """
    names = generators_of(spec)
    rows = proxy.to("cpu") if proxy is not None and not all(map(is_path, names)) else None
    return {name: ready_generator(name, rows, device=device, progress=progress) for name in names}


def bring_student(spec: Spec, threat: ThreatModel, *, consent: Container[str] = ()) -> Student:
    """The student of a spec for a victim of images, checked with two rows of its own.

    Args:
        consent: what the person agreed to, see `must_consent`.

    Raises:
        ConsentError: it would run or fetch what the person has not agreed to.
        SpecError: it cannot be made, or does not fit the victim.
    """
    if left := [one for one in consents_of_student(spec) if str(one) not in consent]:
        raise asking_for(left, where=SPEC)
    classes = threat.num_classes // 2 if threat.multi_label else threat.num_classes
    return load_student(student_name(spec), threat.input_shape, classes)


def _count_classes(test: LabelledInputs) -> int | None:
    if len(test) == 0:
        raise SpecError(f"{test.name} has no rows, on which agreement is measured", SetKey("test"))
    if test.classes:
        return len(test.classes)
    # without labels, most victims still say how many classes they have
    return int(test.labels.max()) + 1 if test.labelled else None


def bring_victim(
    spec: Spec,
    shape: Shape | None,
    classes: int | None,
    device: torch.device,
    progress: Progress = no_progress,
    features: tuple[Feature, ...] | None = None,
    *,
    consent: Container[str] = (),
) -> LoadedVictim:
    """Load the victim that the spec names: of the zoo (trained if it is not yet) or the user's own.

    Args:
        shape: its input shape, if it is known.
        classes: its number of classes, if it is known.
        features: the columns of a table; None for a victim of images.
        consent: what the person agreed to, see `must_consent`; `EVERYTHING` for a spec that the
            person wrote.

    Raises:
        ConsentError: the spec would run or contact what the person has not agreed to.
        VictimError: the victim cannot be loaded.
    """
    must_consent(spec, consent, where=SPEC)
    white_box = spec.access == "white-box"
    if spec.victim in VICTIMS:
        return zoo_victim(
            spec.victim, root=spec.data, device=device, progress=progress, white_box=white_box
        )
    if spec.victim in TABLE_VICTIMS:
        return table_victim(spec.victim)[0]
    if spec.victim in TEXT_VICTIMS:
        return zoo_text_victim(spec.victim, shape[0] if shape else None)[0]
    form = InputForm(
        layout=spec.layout, pixels=spec.pixels or "0..1", channels=spec.channels or "rgb",
        mean=tuple(spec.mean or ()), std=tuple(spec.std or ()),
    )  # fmt: skip
    if endpoint_url(spec):
        return endpoint_victim(
            spec.victim, input_shape=shape, num_classes=classes, settings=spec.endpoint,
            authorisation=spec.authorisation, outputs=spec.outputs, form=form,
            features=features, rate=spec.rate or RATE, progress=progress, text=of_text(spec),
        )  # fmt: skip
    if of_text(spec):
        if shape is None:
            raise SpecError(f"The test texts for {spec.victim} are missing", SetKey("test"))
        return load_text_victim(
            spec.victim, input_shape=shape, num_classes=classes, outputs=spec.outputs,
            allow=spec.allow,
        )  # fmt: skip
    return load_victim(
        spec.victim, form=form, network=spec.network, input_shape=shape, num_classes=classes,
        outputs=spec.outputs, output=spec.output, device=device, trust=spec.trust,
        white_box=white_box,
        allow=spec.allow, features=features,
    )  # fmt: skip
