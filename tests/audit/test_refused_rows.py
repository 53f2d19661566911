"""Audits of a victim that refuses some rows for good: what is bought, used, booked and told."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.attack_settings import SMALL, toy_attack
from tests.support.recording_oracle import RecordingVictim
from tests.support.refusing_victim import refused, refusing
from tests.support.table_runs import steal, total_variation
from tests.support.table_toys import linear_toy, numbers
from tests.support.toys import MakeAudit
from torch import Tensor

from clonecost.attacks import ATTACKS
from clonecost.attacks.copycat import Copycat
from clonecost.attacks.tramer_lr import TramerLr
from clonecost.audit import run_audit
from clonecost.audit.watcher import Watcher
from clonecost.errors import VictimError
from clonecost.oracle.delivery import current
from clonecost.oracle.ledger import Ledger
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.workflows.verify import verify

SKIPPING = sorted(
    name for name, attack in ATTACKS.items()
    if attack.declares.skips_refused and attack.declares.takes == "images"
)  # fmt: skip
FAST = {"epochs": 1, "seed_rows": 30, "round_rows": 20, "batch_size": 25, "round_epochs": 1}


@pytest.mark.parametrize("name", SKIPPING)
def test_the_attack_goes_on_without_the_refused_rows(
    name: str, victim: Victim, threat: ThreatModel, test_set: LabelledInputs, make_audit: MakeAudit,
    proxy: LabelledInputs, tmp_path: Path,
) -> None:  # fmt: skip
    fields = vars(toy_attack(name))
    chosen = {**SMALL[name], **{key: value for key, value in FAST.items() if key in fields}}
    few, told = replace(threat, query_budget=70), list[str]()
    counting = RecordingVictim(refusing(victim))
    test = test_set.take(slice(0, 40))
    audit = make_audit(
        ATTACKS[name](**chosen), victim=counting, threat=few, test=test, milestones=(35,),
        proxy=proxy.take(slice(0, 300)), keep="all",
    )  # fmt: skip
    result = run_audit(audit, Watcher(notice=told.append))

    asked = torch.cat(counting.batches)
    sent = refused(asked)
    of_test = int(refused(test.rows(slice(None))).sum())
    assert result.refused == int(sent.sum()) - of_test > 0
    assert result.victim.test_rows == 40 - of_test < 40
    assert result.spent == 70
    assert result.traffic.rows == 70 - result.refused
    assert [note for note in told if "no face found" in note] == told[:1]
    assert "refused-rows" in [flag.code for flag in result.flags]
    with closing(Ledger.read(tmp_path / "run" / "ledger.sqlite")) as ledger:
        inputs, answers = ledger.bought(audit.proxy.inputs if audit.proxy else None)
    assert len(inputs) == 70 - result.refused
    torch.testing.assert_close(answers.sum(1), torch.ones(len(answers)))
    assert verify(tmp_path / "run").faults == ()

    again = run_audit(audit)  # asks nothing again
    assert counting.seen == len(asked)
    assert again.curve[-1].agreement == result.curve[-1].agreement


def test_copycat_gives_no_label_to_a_refused_row(
    victim: Victim, threat: ThreatModel, test_set: LabelledInputs, make_audit: MakeAudit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    trained = list[int]()
    monkeypatch.setattr(
        "clonecost.attacks.copycat.train",
        lambda student, inputs, *_, **__: trained.append(len(inputs)),
    )
    attack = Copycat(balance=False)
    result = run_audit(make_audit(
        attack, victim=refusing(victim), threat=replace(threat, query_budget=70), milestones=(),
        test=test_set.take(slice(0, 40)),
    ))  # fmt: skip
    assert trained == [70 - result.refused]


def test_an_attack_that_needs_every_answer_ends_in_a_sentence(
    victim: Victim, threat: ThreatModel, test_set: LabelledInputs, make_audit: MakeAudit
) -> None:
    counting = RecordingVictim(refusing(victim))
    audit = make_audit(
        "dfme", victim=counting, threat=replace(threat, query_budget=300),
        test=test_set.take(slice(0, 40)),
    )  # fmt: skip
    for _ in range(2):
        with pytest.raises(VictimError, match=r"refuses row \d+ of the queries.*no face found"):
            run_audit(audit)
    first = counting.seen
    with pytest.raises(VictimError, match=r"cannot go on without .*: active_thief or copycat or "):
        run_audit(audit)
    assert counting.seen == first


def test_equations_are_solved_without_the_refused_rows(tmp_path: Path) -> None:
    toy = linear_toy(numbers(6), 2)

    def picky(rows: Tensor, /) -> Tensor:
        bad = rows[:, 0] > 0.3
        for row in bad.nonzero().flatten().tolist():
            current().refused_for_good(row, "422")
        return torch.where(bad[:, None], torch.tensor([1.0, 0.0]), toy.answer(rows))

    clones, _ = steal(TramerLr(alpha=4), toy, tmp_path, victim=picky)
    assert total_variation(clones[-1], toy) < 1e-6
