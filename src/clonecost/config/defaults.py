"""What a spec implies without being said: data, network, address, limits."""

from pathlib import Path

from clonecost.attacks.base import required_generators
from clonecost.audit import OWN_MODEL
from clonecost.config.lookup import make_attack
from clonecost.config.schema import Spec
from clonecost.errors import SpecError
from clonecost.generators import is_path
from clonecost.types import Feature, Shape
from clonecost.victims.endpoints import is_url
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, VICTIMS


def of_table(spec: Spec) -> bool:
    """Whether the victim takes rows of a table: as zoo, files or features say, else the attacks."""
    if spec.victim in TABLE_VICTIMS or spec.features:
        return True
    if Path(spec.victim).suffix == ".skops" or Path(spec.test or "").suffix == ".csv":
        return True
    if spec.victim in VICTIMS:
        return False
    return any(make_attack(a, spec.set).declares.takes == "table" for a in spec.attack)


def features_of(spec: Spec) -> tuple[Feature, ...] | None:
    """The columns of a table, where the spec says them; None: as the test rows are."""
    return tuple(column.feature() for column in spec.features) if spec.features else None


def needs_proxy(spec: Spec) -> bool:
    """Whether an attack asks about proxy data, or has a generator by a name trained on them."""
    return asks_proxy(spec) or any(not is_path(name) for name in generators_of(spec))


def asks_proxy(spec: Spec) -> bool:
    return any(make_attack(a, spec.set).declares.proxy != "none" for a in spec.attack)


def generators_of(spec: Spec) -> list[str]:
    """The trained generators that the attacks want, by name or folder, each once."""
    wanted = [name for a in spec.attack for name in required_generators(make_attack(a, spec.set))]
    return list(dict.fromkeys(wanted))


def proxy_name(spec: Spec) -> str:
    """The embedded photographs when nothing better is named: everybody has them."""
    return spec.proxy or "photos"


def test_name(spec: Spec) -> str:
    """The rows that agreement is measured on.

    Raises:
        SpecError: the victim is the user's own and none is named.
    """
    if spec.test is not None:
        return spec.test
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].dataset
    if spec.victim in TABLE_VICTIMS:
        return TABLE_VICTIMS[spec.victim].table
    raise SpecError(
        f"{spec.victim} is not in the zoo, so name the rows to measure agreement on: "
        "--test DATASET, or a file with inputs and labels"
    )


def victim_shape(spec: Spec) -> Shape | None:
    """What the victim takes, where the spec says so; else as the test rows are."""
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].input_shape
    return tuple(spec.shape) if spec.shape else None


def student_name(spec: Spec) -> str:
    if of_table(spec):
        return OWN_MODEL
    if spec.student:
        return spec.student
    return VICTIMS[spec.victim].student if spec.victim in VICTIMS else "resnet20"


def endpoint_url(spec: Spec) -> str | None:
    """The address that is asked; None for a victim in this process.

    Raises:
        SpecError: there is a table [endpoint] and no address.
    """
    if spec.endpoint and spec.endpoint.url:
        return spec.endpoint.url
    if is_url(spec.victim):
        return spec.victim
    if spec.endpoint:
        raise SpecError("[endpoint] has no url, and the victim is none either")
    return None


def lost_limit(spec: Spec) -> int | None:
    """Rows that a run may pay for and not get.

    Of an endpoint by default a tenth of the budget, but at least 100: as a quarter of them may be
    in flight, fewer would make it crawl.
    """
    if spec.max_lost is None and endpoint_url(spec):
        return max(100, spec.budget // 10)
    return spec.max_lost
