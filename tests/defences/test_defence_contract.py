"""The contract of every defence. Being listed in DEFENCES is enough for a new one to be tested."""

import dataclasses
import json
import sys

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import SHAPE, MakeAudit
from torch import Tensor

from clonecost.audit import run_audit
from clonecost.config import make_defence
from clonecost.defences import DEFENCES, defend
from clonecost.types import Victim

every_defence = pytest.mark.parametrize("name", sorted(DEFENCES))


def simplex(n: int, classes: int, *, sharp: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(n + classes)
    return (sharp * torch.randn(n, classes, generator=rng)).softmax(1)


@every_defence
@pytest.mark.parametrize("classes", [2, 3, 10, 1_000])
@pytest.mark.parametrize("sharp", [0.0, 1.0, 30.0])
def test_answers_stay_on_the_simplex(name: str, classes: int, sharp: float) -> None:
    answers = simplex(33, classes, sharp=sharp)
    for rows in (answers, answers[:1]):
        given = rows.clone()
        found = defend(lambda _, given=given: given, DEFENCES[name]())(torch.rand(len(rows), 1))
        assert (found.shape, found.dtype) == (rows.shape, torch.float32)
        assert torch.equal(given, rows)  # the victim's own answers are not written into
        assert (found >= 0).all()
        torch.testing.assert_close(found.sum(1), torch.ones(len(rows)), atol=1e-5, rtol=0)


@every_defence
def test_each_row_reaches_the_victim_once(name: str, victim: Victim) -> None:
    counting = RecordingVictim(victim)
    defended = defend(counting, DEFENCES[name](), DEFENCES[name]())
    inputs = torch.rand(7, *SHAPE)
    defended(inputs)
    assert counting.seen == 7
    assert counting.rows == [row.numpy().tobytes() for row in inputs]


@every_defence
def test_randomness_comes_from_torchs_global_state_only(name: str, victim: Victim) -> None:
    """A resumed run must get the same answers: no generator of its own, no clock."""
    inputs = torch.rand(7, *SHAPE)
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(defend(victim, DEFENCES[name]())(inputs))
    assert torch.equal(*found)


@every_defence
def test_settings_are_frozen_keyword_only_and_fit_into_the_result(name: str) -> None:
    part = DEFENCES[name]()
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        part.anything = 1
    with pytest.raises(TypeError):
        DEFENCES[name](1)
    assert json.loads(json.dumps(dataclasses.asdict(part))) == dataclasses.asdict(part)
    assert eval(repr(part), {type(part).__name__: type(part)}) == part
    assert make_defence(name) == part
    summary = (sys.modules[type(part).__module__].__doc__ or "").splitlines()[0]
    assert len(summary) > 10


@every_defence
def test_scores_are_against_the_undefended_victim(name: str, make_audit: MakeAudit) -> None:
    result = run_audit(make_audit("knockoff", defences=[DEFENCES[name]()], milestones=()))
    assert [card.name for card in result.defences] == [name]
    assert result.victim.accuracy is not None
    assert result.victim.accuracy.value == 1.0  # the toy's labels are the victim's predictions


def test_the_first_defence_is_closest_to_the_victim() -> None:
    order: list[str] = []

    def noting(name: str):  # type: ignore[no-untyped-def]
        def wrap(victim: Victim) -> Victim:
            def defended(inputs: Tensor, /) -> Tensor:
                order.append(name)
                return victim(inputs)

            return defended

        return wrap

    defend(lambda x: x, noting("inner"), noting("outer"))(torch.rand(1, 2))
    assert order == ["outer", "inner"]
    bare: Victim = lambda x: x  # noqa: E731
    assert defend(bare) is bare
