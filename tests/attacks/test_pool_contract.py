"""All attacks on a pool: two budgets are two runs, and a used-up pool ends the attack."""

import dataclasses
from pathlib import Path

import pytest
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit

from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.persistence.run_folder import CLONE
from clonecost.result import Result
from clonecost.types import LabelledInputs, ThreatModel, Victim

POOLS = ["active_thief", "copycat", "jbda", "knockoff_adaptive", "marich"]


@pytest.mark.parametrize("name", POOLS)
def test_two_budgets_in_one_run_give_what_two_runs_give(
    name: str, victim: Victim, threat: ThreatModel, make_audit: MakeAudit, tmp_path: Path
) -> None:
    """A clone never continues the training of a smaller budget's. 430 rows end within a round.

    Answers are rounded, since a victim's last bits depend on the size of a batch.
    """

    def audit(budget: int, folder: str, *milestones: int) -> Result:
        return run_audit(
            make_audit(
                name, victim=lambda inputs: (victim(inputs) * 512).round() / 512,
                threat=dataclasses.replace(threat, query_budget=budget), milestones=milestones,
                out=tmp_path / folder,
            )
        )  # fmt: skip

    alone, both, only = audit(430, "alone"), audit(1_000, "both", 430), audit(1_000, "only")
    assert both.curve[0] == alone.curve[-1]
    assert both.curve[-1] == only.curve[-1]
    assert (tmp_path / "both" / CLONE).read_bytes() == (tmp_path / "only" / CLONE).read_bytes()


@pytest.mark.parametrize("name", ["active_thief", "copycat", "marich"])
def test_each_row_of_the_pool_is_queried_once(
    name: str, victim: Victim, proxy: LabelledInputs, make_audit: MakeAudit
) -> None:
    counting = RecordingVictim(victim)
    pool = proxy.take(slice(0, 600))
    result = run_audit(make_audit(name, victim=counting, proxy=pool, milestones=(500,)))
    asked = counting.rows[400:]
    assert result.spent == len(asked) == len(set(asked)) == 600
    assert [score.queries for score in result.curve] == [500, 600]


@pytest.mark.parametrize("name", POOLS)
def test_without_data_the_sentence_names_the_remedy(name: str, make_audit: MakeAudit) -> None:
    with pytest.raises(SpecError, match=f"{name} needs proxy data.* Set `proxy`"):
        run_audit(make_audit(name, proxy=None))
    assert toy_attack(name).plan(1_000)
