"""Hours of an audit: the arithmetic, with a clock that the test holds."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.attacks import ATTACKS
from clonecost.attacks.copycat import Copycat
from clonecost.attacks.dfme import Dfme
from clonecost.attacks.ex_nihilo import ExNihilo
from clonecost.attacks.knockoff import Knockoff
from clonecost.attacks.tramer_lr import TramerLr
from clonecost.audit.attack_traits import clone_epochs
from clonecost.config import Spec
from clonecost.types import ThreatModel
from clonecost.workflows.costs import in_words, with_drawing
from clonecost.workflows.estimate import Estimate, Speed, estimate, gib, per_row

SPEED = Speed(alone=0.5, victim=0.1, student=0.01)
RUN = {"evaluation": 10, "proxy": 50, "shape": (1, 8, 8), "num_classes": 3, "keep": "auto",
       "speed": SPEED}  # fmt: skip


def of(attack: object, name: str = "a", **changed: object) -> Estimate:
    return estimate(attack, name, **{"budget": 100, "milestones": [], **RUN, **changed})  # type: ignore[arg-type]


def test_every_scored_clone_is_trained_from_scratch() -> None:
    attack = Knockoff(epochs=10)
    assert of(attack).training == pytest.approx(0.01 * 10 * 100)
    assert of(attack, milestones=[20, 50]).training == pytest.approx(0.01 * 10 * 170)
    assert of(attack, milestones=[20, 100, 5_000]).training == pytest.approx(0.01 * 10 * 120)
    assert of(attack).victim == pytest.approx(0.1 * 110)
    assert not of(attack).at_least
    assert clone_epochs(Copycat(epochs=3)) == 3


def test_a_student_counts_by_its_start() -> None:
    """Features once; in two ways of augmentation four epochs at each of two resolutions."""
    shared = Knockoff(recipe="shared")
    assert of(shared, start="pretrained").passes == 100 * (1 + 2 * 8)
    assert of(shared, start="frozen").passes == 100
    assert of(Knockoff(recipe="linear_probe"), start="pretrained").passes == 100
    assert of(shared).passes == 100 * 60
    assert of(Copycat(recipe="shared", epochs=2), start="pretrained").passes == 100 * (1 + 2 * 6)
    swept = Knockoff(recipe="shared", temperature="sweep")
    assert of(swept).passes == 100 * (60 + 4 * 15)  # four short trainings


def test_drawings_take_time_and_memory() -> None:
    """Of 2,500 rows: three rounds of 1,000, the first of two candidates each, then of six."""
    attack, speed = ExNihilo(candidates=6, round_size=1_000), Speed(drawing=0.01)
    found = of(attack, budget=2_500, speed=speed)
    assert found.drawing == pytest.approx(0.01 * (2_000 + 6_000 + 6_000))
    assert found.memory - of(Knockoff(), budget=2_500).memory == 6_000 * 64
    assert "2 min of drawing" in found.words
    assert found.seconds == found.drawing
    # the surrogates are trained once after each round but the last, whatever is scored
    of_search = 2 * 12 * 2_000
    assert found.passes == 40 * 2_500 + of_search
    assert of(attack, budget=2_500, milestones=[500]).passes == 40 * 3_000 + of_search
    assert not of(Knockoff(), speed=speed).drawing
    assert of(
        ExNihilo(candidates=1, round_size=1_000), budget=1, speed=speed
    ).drawing == pytest.approx(10)
    threat = ThreatModel(input_shape=(1, 8, 8), num_classes=2, query_budget=9)
    ticks = count()
    drawing, plain = (
        with_drawing(Spec(victim="v", attack=[name]), threat, Speed(), lambda: float(next(ticks)))
        for name in ("ex_nihilo", "knockoff")
    )
    assert drawing.drawing is not None
    assert plain == Speed()


def test_what_is_not_known_is_not_guessed() -> None:
    assert of(Dfme()).at_least
    assert "at least" in of(Dfme()).words
    assert of(TramerLr()).training is None  # a table: no student network
    unknown = of(Knockoff(), speed=Speed())
    assert unknown.victim is None
    assert unknown.training is None
    assert "time not known" in unknown.words


@settings(max_examples=60)
@given(
    rows=st.floats(1e-6, 10), start=st.floats(0, 5), most=st.integers(1, 512),
)  # fmt: skip
def test_a_measured_row_is_within_a_factor_of_three(rows: float, start: float, most: int) -> None:
    """Whatever a step costs: the first call is slow, and every call has a fixed cost."""
    calls: list[int] = []

    def clock_of() -> Callable[[], float]:
        now = [0.0]

        def clock() -> float:
            return now[0]

        def step(size: int) -> None:
            now[0] += size * rows * 1.2 + (start if not calls else 0)
            calls.append(size)

        clock.step = step  # type: ignore[attr-defined]
        return clock

    clock = clock_of()
    seconds, sent = per_row(clock.step, most=most, clock=clock)  # type: ignore[attr-defined]
    assert sent == sum(calls)
    assert max(calls) <= most
    assert rows <= seconds <= 3 * rows  # the slow first call never counts


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_has_an_estimate(name: str) -> None:
    found = of(ATTACKS[name](), name)
    assert found.seconds > 0
    assert found.memory > 0
    assert found.words.startswith("about ")


def test_bytes_in_words() -> None:
    assert [gib(1), gib(300 << 20), gib(3 << 30)] == ["1 MiB", "300 MiB", "3.0 GiB"]


def test_the_disk_holds_what_the_audit_keeps() -> None:
    images: dict[str, Any] = {"shape": (3, 32, 32), "budget": 50_000, "evaluation": 0}
    places = of(Knockoff(), **images).disk  # of rows in the proxy data: 4 bytes each
    assert places - of(Knockoff(), **images, keep="none").disk == 4 * 50_000
    made = of(Dfme(), **images)  # 614 MB of images: none of them is kept by default
    assert made.disk == of(Dfme(), **images, keep="none").disk
    assert of(Dfme(), **images, keep="all").disk - made.disk == 4 * 3 * 32 * 32 * 50_000
    table = of(TramerLr(), shape=(10,), proxy=0, num_classes=2)
    assert table.memory == 100 * (4 * 10 + 4 * 2)  # float32 values, and answers


@pytest.mark.parametrize(
    ("victim", "training", "at_least", "sentence"),
    [
        (30.0, 30.0, False, "4 runs, about 4 min"),
        (None, 60.0, False, "4 runs, at least 4 min"),
        (30.0, 30.0, True, "4 runs, at least 4 min"),
        (None, None, False, "4 runs, time not known"),
    ],
)
def test_all_runs_state_no_more_than_is_known(
    victim: float | None, training: float | None, at_least: bool, sentence: str
) -> None:
    one = Estimate("knockoff", victim, training, at_least, memory=0, disk=0, passes=0)
    assert dict(in_words([one], 4))["all runs"] == sentence
