"""The contract of every defence. Being listed in DEFENCES is enough for a new one to be tested."""

import dataclasses
import json
import sys
from typing import Any

import pytest
import torch
from tests.support.defence_settings import NOTHING, as_text, working
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import SHAPE, MakeAudit
from torch import Tensor

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit
from clonecost.config import make_defence
from clonecost.defences import DEFENCES, declaration_of, defend
from clonecost.types import ThreatModel, Victim

every_defence = pytest.mark.parametrize("name", sorted(DEFENCES))


def simplex(n: int, classes: int, *, sharp: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(n + classes)
    return (sharp * torch.randn(n, classes, generator=rng)).softmax(1)


def extremes(classes: int) -> Tensor:
    """One-hot rows, a uniform one, exact zeros, and ties: at the top and below."""
    tied = torch.zeros(2, classes)
    tied[0, :2], tied[1, 0], tied[1, 1:] = 0.5, 0.5, 0.5 / (classes - 1)
    return torch.cat([torch.eye(classes)[:3], torch.full((1, classes), 1 / classes), tied])


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@every_defence
@pytest.mark.parametrize("classes", [2, 3, 10, 1_000])
def test_answers_stay_on_the_simplex(name: str, classes: int) -> None:
    answers = torch.cat([extremes(classes), *(simplex(9, classes, sharp=s) for s in (1.0, 30.0))])
    for rows in (answers, answers[:1], answers[-1:]):
        given, inputs = rows.clone(), torch.rand(len(rows), 1, generator=seeded(classes))
        sent = inputs.clone()
        found = defend(lambda _, given=given: given, working(name))(inputs)
        assert (found.shape, found.dtype) == (rows.shape, torch.float32)
        assert torch.equal(given, rows)  # the victim's own answers are not written into,
        assert torch.equal(sent, inputs)  # nor are the inputs
        assert (found >= 0).all()
        sums = found.double().sum(1)
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=2e-6, rtol=0)


@every_defence
def test_a_row_is_answered_alike_in_every_batch(name: str) -> None:
    part = working(name)
    if declaration_of(part).random:
        return  # it draws anew
    answers = torch.cat([extremes(5), simplex(40, 5, sharp=2.0)])
    inputs = torch.rand(len(answers), 1, 4, 4, generator=seeded(1))
    lines = torch.arange(len(answers), dtype=torch.float32)[:, None, None, None]

    def victim(rows: Tensor, /) -> Tensor:
        return answers[rows[:, 0, 0, 0].long()]

    rows = torch.cat([lines.expand(-1, 1, 4, 1), inputs[..., 1:]], 3)
    whole, split = defend(victim, part), defend(victim, part)
    torch.testing.assert_close(
        torch.cat([split(one) for one in rows.split(3)]), whole(rows), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", NOTHING)
def test_strength_zero_changes_nothing(name: str) -> None:
    clean = torch.cat([simplex(50, 4, sharp=2.0), extremes(4)])
    found = defend(lambda _: clean, working(name, **NOTHING[name]))(torch.rand(len(clean), 1))
    torch.testing.assert_close(found, clean, atol=1e-6, rtol=0)


@every_defence
def test_each_row_reaches_the_victim_once(name: str, victim: Victim) -> None:
    counting = RecordingVictim(victim)
    defended = defend(counting, working(name), working(name))
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
        found.append(defend(victim, working(name))(inputs))
    assert torch.equal(*found)


@every_defence
def test_settings_are_frozen_keyword_only_and_fit_into_the_result(name: str) -> None:
    part: Any = working(name)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        part.anything = 1
    with pytest.raises(TypeError):
        DEFENCES[name](1)
    assert json.loads(json.dumps(dataclasses.asdict(part))) == dataclasses.asdict(part)
    assert eval(repr(part), {type(part).__name__: type(part)}) == part
    assert make_defence(as_text(name)) == part
    summary = (sys.modules[type(part).__module__].__doc__ or "").splitlines()[0]
    assert len(summary) > 10


@every_defence
def test_scores_are_against_the_undefended_victim(
    name: str, make_audit: MakeAudit, threat: ThreatModel
) -> None:
    result = run_audit(make_audit(
        Knockoff(epochs=1), defences=[working(name)], milestones=(),
        threat=dataclasses.replace(threat, query_budget=40),
    ))  # fmt: skip
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
