"""What an attack needs or costs by its settings: traits that its declaration lists by name."""

from collections.abc import Callable
from typing import TypeVar, cast

from clonecost.attacks.base import Attack, BySettings
from clonecost.errors import SpecError
from clonecost.networks.pretrained import Start
from clonecost.types import ThreatModel

T = TypeVar("T")


def queries_per_iteration(attack: Attack) -> int:
    """Queries that one iteration costs; 0: the attack has no iterations."""
    return _by_settings(attack, "queries_per_iteration", 0)


def least_budget(attack: Attack) -> int:
    """The least budget that an attack accepts, 0: any."""
    return max(queries_per_iteration(attack), _by_settings(attack, "least_budget", 0))


def required_generators(attack: Attack) -> tuple[str, ...]:
    """Names or folders of the trained generators without which an attack cannot run."""
    return _by_settings(attack, "generators", ())


def rows_per_unknown(attack: Attack) -> float | None:
    """Rows queried for each unknown; None: the attack solves no equations."""
    return _by_settings(attack, "rows_per_unknown", None)


def clone_epochs(attack: Attack, start: Start = "scratch") -> int | None:
    """How often each bought row is trained on for a scored clone; None: it is trained otherwise.

    Args:
        start: of the student; `knockoff:shared` fine-tunes a pretrained one in fewer epochs.
    """
    found: Callable[[Start], int | None] = _by_settings(attack, "clone_epochs", lambda start: None)
    return found(start)


def search_passes(attack: Attack, budget: int) -> int:
    """Rows that go through trainings of the attack's search, whatever is scored."""
    found: Callable[[int], int] = _by_settings(attack, "search_passes", lambda budget: 0)
    return found(budget)


def drawn(attack: Attack, budget: int) -> tuple[int, int]:
    """Procedural pictures that the attack makes for a budget, and how many it holds at once."""
    found: Callable[[int], tuple[int, int]] = _by_settings(attack, "drawn", lambda budget: (0, 0))
    return found(budget)


def published_wiring(attack: Attack) -> bool:
    """Whether the attack's generator makes the victim's normalised inputs instead of pixels."""
    return _by_settings(attack, "published_wiring", False)


def refusal(attack: Attack, threat: ThreatModel) -> SpecError | None:
    """The error that says why the attack does not fit this victim, not raised; None: it fits."""
    unfit: Callable[[ThreatModel], SpecError | None] = _by_settings(
        attack, "unfit", lambda threat: None
    )
    return unfit(threat)


def _by_settings(attack: Attack, name: BySettings, without: T) -> T:
    return cast(T, getattr(attack, name)) if name in attack.declares.by_settings else without
