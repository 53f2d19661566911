import dataclasses

import pytest
import torch
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingOracle, RecordingVictim, sure_answers
from tests.support.toys import MakeAudit, toy_student
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, DeferredClone
from clonecost.attacks.dfms import Dfms
from clonecost.audit import run_audit
from clonecost.types import AnswerKind, LabelledInputs, ThreatModel, Victim


def small(**changes: object) -> Dfms:
    attack = dataclasses.replace(toy_attack("dfms"), **changes)  # type: ignore[type-var]
    assert isinstance(attack, Dfms)
    return attack


def test_published_numbers_of_rows_where_the_budget_holds_them() -> None:
    assert Dfms().rows_by_purpose(8_000_000) == (5_000, 40_000, 20_000)
    own, generated, validation = Dfms().rows_by_purpose(42_000)
    assert own + 2 * generated + validation <= 0.25 * 42_000
    assert (own, generated, validation) == (500, 4_000, 2_000)
    assert "105,000 rows beforehand" in Dfms().plan(8_000_000)


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [Dfms().rate(past, 8_000) for past in range(8_001)]
    assert 0 < rates[0] < rates[50] < rates[99] < 1  # 100 steps; never 0, as it was in the scripts
    assert max(rates) == rates[100] == 1
    assert rates[4_050] == pytest.approx(0.5, abs=0.01)
    assert rates[8_000] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("answers", ["probs", "label"])
def test_every_row_counts_and_is_asked_about_once(
    answers: AnswerKind, victim: Victim, threat: ThreatModel, make_audit: MakeAudit
) -> None:
    counting = RecordingVictim(victim)
    asked_for = dataclasses.replace(threat, answers=answers)
    attack = small(gan_epochs=0, div_gan_epochs=0, pretraining_epochs=1)  # no row depends on them
    result = run_audit(make_audit(attack, victim=counting, threat=asked_for))
    asked = counting.rows[400:]
    assert result.spent == len(asked) > 1_450
    assert len(set(asked)) > 0.99 * len(asked)


class Watched(nn.Module):
    """A student that notes (train mode, gradient wanted at the input, rows) of every use."""

    log: list[tuple[bool, bool, int]] = []  # noqa: RUF012 - shared with its copies on purpose

    def __init__(self) -> None:
        super().__init__()
        self.body = toy_student()

    def forward(self, x: Tensor) -> Tensor:
        self.log.append((self.training, x.requires_grad, len(x)))
        return self.body(x)


def test_modes_and_the_choice_on_bought_rows_only(proxy: LabelledInputs) -> None:
    attack = small(batch_size=20, averages=(0.5, 0.9), gan_epochs=1, div_gan_epochs=1,
                   choose_every=10_000)  # fmt: skip
    oracle = RecordingOracle(600, sure_answers)
    kit = AttackerKit(
        student=Watched, generator=lambda latent, *, width: nn.Identity(),
        proxy=proxy.take(slice(200)),
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=600,
    )  # fmt: skip
    run = attack.run(oracle, kit)
    next(run)
    validation = [len(q.inputs) for q in oracle.questions if q.purpose == "validation"]
    assert validation == [attack.rows_by_purpose(600)[2]]
    before = len(oracle.questions)
    Watched.log.clear()
    next(run)
    assert [len(x) for x in oracle.asked[before:]] == [20]
    # the clone learns in train mode, and G from it in eval mode
    assert Watched.log == [(True, False, 20), (False, True, 20)]
    *_, last = run
    assert all(rows == 20 for _, _, rows in Watched.log)  # nothing is judged without a look
    assert isinstance(last, DeferredClone)
    Watched.log.clear()
    clone = last.make(oracle.spent, kit)
    judged = Watched.log
    assert judged[0] == (False, False, validation[0])  # C itself
    assert judged[1:] in ([], [(False, False, validation[0])] * 3)  # then the averages, if better
    assert all(p.isfinite().all() for p in clone.parameters())
    assert set(oracle.purposes) == {"training", "validation"}
