"""The stop rule of a panel: when an attack cannot win any more, and when it goes on in doubt."""

import pytest

from clonecost.result import Corrected, Look, PartLook
from clonecost.workflows.panel_rule import look_at


def _agreement(value: float, half: float = 0.05) -> Corrected:
    return Corrected(value=value, low=value - half, high=min(1.0, value + half))


def _look(queries: int, value: float, part: str = "a") -> Look:
    one = PartLook(part=part, corrected_agreement=_agreement(value), projected=None, bar=None)
    return Look(queries=queries, parts=[one], stop=None)


def _decided(
    value: float = 0.2, queries: int = 400, *, budget: int = 1_000, share: float = 0.3,
    before: tuple[Look, ...] = (_look(200, 0.19),), best: tuple[Look, ...] = (_look(500, 0.8),),
    late: bool = False,
) -> str | None:  # fmt: skip
    found = [("a", _agreement(value), share)]
    return look_at(found, queries, budget=budget, before=before, others=[best], late=late).stop


def test_an_attack_that_cannot_win_any_more_ends() -> None:
    assert _decided() == "cannot_win"


@pytest.mark.parametrize(("changed", "why"), [
    ({"value": 0.7}, "its interval reaches the bar"),
    ({"value": 0.5}, "its last gain carries it to the bar"),
    ({"queries": 190, "before": (_look(100, 0.19),)}, "less than a fifth of its budget"),
    ({"before": ()}, "there was no look before, so no gain is known"),
    ({"best": ()}, "there is no other entry"),
    ({"best": (_look(1_001, 0.8),)}, "the best one needed more queries than it has"),
    ({"share": 0.95}, "the victim gives one class for nearly all watch rows"),
    ({"queries": 1_000}, "it has ended anyway"),
    ({"late": True}, "it searches before it has a clone"),
])  # fmt: skip
def test_in_doubt_it_goes_on(changed: dict[str, object], why: str) -> None:
    assert _decided(**changed) is None, why  # type: ignore[arg-type]


def test_the_largest_gain_so_far_counts_not_the_last() -> None:
    slow = (_look(100, 0.0), _look(200, 0.4))  # then nothing from 200 to 400
    assert _decided(0.4, before=slow) is None
    assert _decided(0.4, before=(_look(100, 0.4), _look(200, 0.4))) == "cannot_win"


def test_it_must_lose_on_every_kind_of_watch_rows_that_says_anything() -> None:
    def decided(second: float, share: float) -> str | None:
        found = [("a", _agreement(0.2), 0.3), ("b", _agreement(second), share)]
        before = [_look(200, 0.2), _look(200, second, "b")]
        best = [_look(500, 0.8), _look(500, 0.8, "b")]
        return look_at(found, 400, budget=1_000, before=before, others=[best]).stop

    assert decided(0.9, share=0.3) is None
    assert decided(0.2, share=0.3) == "cannot_win"
    assert decided(0.9, share=0.95) == "cannot_win"
