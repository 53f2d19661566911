"""What a spec implies where it leaves a key out: data, network, address, limits."""

from collections.abc import Sequence

from clonecost.audit import OWN_MODEL
from clonecost.audit.attack_traits import required_generators
from clonecost.config.default_attack import says_table, says_text
from clonecost.config.lookup import answer_kind, make_attack
from clonecost.config.schema import Spec
from clonecost.data.catalogue import DATASETS
from clonecost.data.class_names import read_class_names
from clonecost.data.texts import TextOptions
from clonecost.errors import Advice, DropKey, SetKey, SpecError, VictimError
from clonecost.generators import is_path
from clonecost.persistence.file_limits import at_home, regular_file
from clonecost.types import Feature, Shape, Shown, Takes, narrower
from clonecost.victims.endpoints import is_url
from clonecost.victims.file_kinds import READ
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, TEXT_VICTIMS, VICTIMS

# An audit takes two fifths of the time that resnet20 takes (docs/decisions/default_student.md).
STUDENT = "resnet8"


def takes_of(spec: Spec) -> Takes:
    """The kind of the victim's rows, by the zoo, files, columns, else by the attacks."""
    keys = {
        "victim": spec.victim, "test": spec.test, "features": spec.features,
        "text_column": spec.text_column,
    }  # fmt: skip
    if says_text(keys):
        return "text"
    if says_table(keys):
        return "table"
    kinds = {make_attack(a, spec.set).declares.takes for a in spec.attack}
    if spec.victim in VICTIMS or "table" not in kinds:
        return "images"
    return "table"


def of_table(spec: Spec) -> bool:
    """Whether the victim takes rows of a table."""
    return takes_of(spec) == "table"


def of_text(spec: Spec) -> bool:
    """Whether the victim takes texts."""
    return takes_of(spec) == "text"


def text_options(spec: Spec) -> TextOptions:
    """How the spec's own files of texts are read."""
    return TextOptions(
        text_column=spec.text_column, label_column=spec.label_column, longest=spec.longest
    )


def features_of(spec: Spec) -> tuple[Feature, ...] | None:
    """The columns of a table, if the spec has them; None: those of the test rows."""
    return tuple(column.feature() for column in spec.features) if spec.features else None


def needs_proxy(spec: Spec) -> bool:
    """Whether an attack sends proxy data, or needs a generator that is trained on them."""
    return sends_proxy(spec) or any(not is_path(name) for name in generators_of(spec))


def sends_proxy(spec: Spec) -> bool:
    """Whether an attack sends rows of the proxy data, or rows made from them, to the victim."""
    return any(make_attack(a, spec.set).declares.proxy != "none" for a in spec.attack)


def generators_of(spec: Spec) -> list[str]:
    """The trained generators that the attacks need, by name or folder, each once."""
    names = [name for a in spec.attack for name in required_generators(make_attack(a, spec.set))]
    return list(dict.fromkeys(names))


def proxy_name(spec: Spec) -> str:
    """The proxy data; by default the photographs, or the sentences, that come with clonecost."""
    return spec.proxy or ("docs-sentences" if of_text(spec) else "photos")


def test_name(spec: Spec) -> str:
    """The test rows, on which agreement is measured.

    Raises:
        SpecError: the victim is the user's own and the spec has no test rows.
        VictimError: the victim is a file that is not there.
    """
    if spec.test is not None:
        return spec.test
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].dataset
    if spec.victim in TABLE_VICTIMS:
        return TABLE_VICTIMS[spec.victim].table
    if spec.victim in TEXT_VICTIMS:
        return TEXT_VICTIMS[spec.victim].dataset
    if not is_url(spec.victim) and (path := at_home(spec.victim)).suffix in READ:
        regular_file(path, VictimError)  # a missing model comes before its missing test rows
    raise SpecError(
        f"{spec.victim} is not in the zoo, and the test rows for its agreement are missing",
        SetKey("test"),
        Advice("a data set and a file with inputs and labels both serve as test rows"),
    )


def answers_of(spec: Spec) -> Shown:
    """How much an answer shows, by the spec: no more than the API's own description gives."""
    stated = answer_kind(spec.answers)
    if spec.outputs == "label":
        return "label", None
    top_k = spec.endpoint.top_k if spec.endpoint else None
    if top_k is None:
        return stated
    # the one class of a "top 1" is made whole, so that its probability says nothing
    return narrower(stated, ("top_k", top_k) if top_k > 1 else ("label", None))


def with_class_names(spec: Spec, names: Sequence[str]) -> Spec:
    """The spec with these names for the labels in an endpoint's answers, if it states none."""
    endpoint = spec.endpoint
    if endpoint is None or endpoint.body is None or endpoint.classes or not names:
        return spec
    named = endpoint.model_copy(update={"classes": tuple(names)})
    return spec.model_copy(update={"endpoint": named})


def multi_label(spec: Spec) -> bool:
    """Whether the victim gives several labels a row, which only its owner states."""
    return spec.outputs == "multi_label"


def must_give_one_class(spec: Spec, what: str) -> None:
    """Refuse a multi-label victim where an answer is taken as one class a row.

    Args:
        what: takes it so, as the subject of the sentence.

    Raises:
        SpecError: the victim gives several labels.
    """
    if multi_label(spec):
        raise SpecError(
            f"{what} takes one class a row, and {spec.victim} gives several labels",
            Advice("wrap one of its labels in a function that returns the label's probability"),
        )


def class_names(spec: Spec) -> tuple[str, ...]:
    """The names of the victim's classes in its own order, as far as the spec knows them.

    They are those of the file, the zoo or the endpoint's description; () if there are none.

    Raises:
        SpecError: the file is no list of names, or of another number than `classes`.
    """
    if spec.class_names is None:
        if spec.victim in VICTIMS:
            return DATASETS[VICTIMS[spec.victim].dataset].classes
        return tuple(spec.endpoint.classes) if spec.endpoint else ()
    names = read_class_names(at_home(spec.class_names))
    if spec.classes not in (None, len(names)):
        raise SpecError(
            f"{spec.class_names} has another number of names than the model has classes",
            DropKey("classes"), SetKey("class_names"), got=len(names), want=spec.classes,
        )  # fmt: skip
    return names


def stated_classes(spec: Spec) -> int | None:
    """The number of the victim's classes by the zoo or the spec; None: neither says it."""
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].num_classes
    return spec.classes or len(class_names(spec)) or None


def victim_shape(spec: Spec) -> Shape | None:
    """The victim's input shape by the zoo or the spec; None: that of the test rows."""
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].input_shape
    return tuple(spec.shape) if spec.shape else None


def student_name(spec: Spec) -> str:
    """The clone's network: the spec's, else the zoo victim's student, else `STUDENT`."""
    if takes_of(spec) != "images":
        return OWN_MODEL
    if spec.student:
        return spec.student
    return VICTIMS[spec.victim].student if spec.victim in VICTIMS else STUDENT


def endpoint_url(spec: Spec) -> str | None:
    """The victim's address; None for a victim in this process.

    Raises:
        SpecError: the spec has a table [endpoint] and no address.
    """
    if spec.endpoint and spec.endpoint.url:
        return spec.endpoint.url
    if is_url(spec.victim):
        return spec.victim
    if spec.endpoint:
        raise SpecError(
            "The table [endpoint] has no url, and the victim is not a URL", SetKey("endpoint.url")
        )
    return None


def lost_limit(spec: Spec) -> int | None:
    """The most rows that a run may pay for without an answer; None: no limit.

    The default for an endpoint is a tenth of the budget, but at least 100: a quarter of them may be
    in flight at once, and fewer would slow the run down.
    """
    if spec.max_lost is None and endpoint_url(spec):
        return max(100, spec.budget // 10)
    return spec.max_lost
