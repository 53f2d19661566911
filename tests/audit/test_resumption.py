"""A run folder is taken up again by the same audit of the same victim only."""

import dataclasses
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.recording_oracle import RecordingVictim
from tests.support.stopping import stopping
from tests.support.toys import BUDGET, MakeAudit
from torch import Tensor, nn

from clonecost.audit import Watcher, run_audit
from clonecost.audit.resumption import differences, recall
from clonecost.defences import DEFENCES
from clonecost.defences.modelguard_s import Codebook
from clonecost.errors import CloneCostError, LedgerError, VictimError
from clonecost.oracle.ledger import Ledger
from clonecost.types import Victim
from clonecost.victims.digests import weights_digest

FACTS = st.dictionaries(
    st.sampled_from(["seed", "student", "device", "threat", "victim", "test", "attack"]),
    st.one_of(
        st.integers(0, 3), st.sampled_from(["lenet", "cpu"]), st.none(),
        st.lists(st.sampled_from(["net", "abc", 7]), min_size=1, max_size=3),
        st.dictionaries(st.sampled_from(["answers", "access"]), st.sampled_from(["a", "b"])),
    ),
)  # fmt: skip


@settings(max_examples=200)
@given(before=FACTS, now=FACTS)
def test_every_difference_is_said_by_its_name(before: dict[str, Any], now: dict[str, Any]) -> None:
    said = differences(json.dumps(before), json.dumps(now))
    names = {"threat": "threat model", "test": "test rows"}
    for key in {*before, *now}:
        differs = before.get(key) != now.get(key)
        assert any(f"the {names.get(key, key)}" in one for one in said) == differs, (key, said)


@pytest.mark.parametrize("text", ["toy", "[]", "{"])
def test_what_is_no_identity_has_no_differences(text: str) -> None:
    assert differences(text, '{"seed": 1}') == []


def begun(make_audit: MakeAudit, victim: Victim, after: int = 900, **changes: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_audit(make_audit(victim=stopping(victim, after), **changes))


@settings(max_examples=6)
@given(at=st.integers(0, 200))
def test_a_changed_weight_anywhere_is_another_digest(at: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    before = weights_digest(net)
    with torch.no_grad():
        flat = [p.view(-1) for p in net.parameters()]
        part = flat[0] if at < 192 else flat[1]  # 192 weights and 3 biases
        part[at % len(part)] += 1e-3
    assert weights_digest(net) != before


def test_another_module_in_the_same_folder_is_refused_by_its_weights(
    network: nn.Module, victim: Victim, make_audit: MakeAudit
) -> None:
    def digested(answer: Victim, module: nn.Module) -> dict[str, Any]:
        return {"victim": answer, "weights": weights_digest(module)}

    begun(make_audit, victim, weights=weights_digest(network))
    with torch.no_grad():
        next(network.parameters())[0, 0] += 0.5
    with pytest.raises(LedgerError) as caught:
        run_audit(make_audit(**digested(victim, network)))
    assert "the victim victim has other weights than before" in str(caught.value)
    assert "Restore what has changed; or set `out`" in str(caught.value)


def test_other_code_with_the_same_name_is_flagged_by_the_spot_check(
    victim: Victim, make_audit: MakeAudit
) -> None:
    begun(make_audit, victim)
    said: list[str] = []
    counting = RecordingVictim(lambda rows: victim(rows).roll(1, dims=1))
    result = run_audit(make_audit(victim=counting, spot_check=None), Watcher(notice=said.append))
    assert "victim-changed" in [flag.code for flag in result.flags]
    assert any("The victim has changed: 20 of 20 rows" in one for one in said)
    assert result.spot_check is not None
    assert result.spot_check.rows == 20  # when it resumed; not again at the end
    assert result.provenance.ledger_rows == result.spent + result.evaluation + result.lost + 20


def test_answers_of_another_form_than_before_stop_the_resume(
    victim: Victim, make_audit: MakeAudit
) -> None:
    begun(make_audit, victim)
    counting = RecordingVictim(lambda rows: victim(rows).log())
    with pytest.raises(VictimError) as caught:
        run_audit(make_audit(victim=counting, spot_check=None))
    assert "gives log-probabilities" in str(caught.value)
    assert "in the first session of this audit it gives probabilities" in str(caught.value)
    assert counting.seen == 20  # the spot check alone
    assert run_audit(make_audit(victim=victim, spot_check=None)).spent == BUDGET


def test_the_same_victim_is_asked_again_and_not_flagged(
    victim: Victim, make_audit: MakeAudit
) -> None:
    begun(make_audit, victim)
    result = run_audit(make_audit(victim=victim, spot_check=None))
    assert "victim-changed" not in [flag.code for flag in result.flags]
    assert result.spot_check is not None
    assert (result.spot_check.asked, result.spot_check.changed) == (20, 0)


def test_another_version_is_said_and_flagged(
    victim: Victim, make_audit: MakeAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("clonecost.audit.run.release", lambda: "clonecost 0 (source old)")
        begun(make_audit, victim)
    said: list[str] = []
    result = run_audit(make_audit(victim=victim), Watcher(notice=said.append))
    (flag,) = [one for one in result.flags if one.code == "resumed-under-another-version"]
    assert "began under clonecost 0 (source old) and was resumed under clonecost" in flag.message
    assert any("began under clonecost 0" in one for one in said)
    assert result.spent == BUDGET


def test_a_run_of_one_version_has_no_such_flag(victim: Victim, make_audit: MakeAudit) -> None:
    begun(make_audit, victim)
    codes = [flag.code for flag in run_audit(make_audit(victim=victim)).flags]
    assert "resumed-under-another-version" not in codes


def test_a_failed_first_attempt_does_not_claim_its_folder(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    def broken(inputs: Tensor) -> Tensor:
        raise ConnectionError("no such model")

    with pytest.raises(CloneCostError, match="no such model"):
        run_audit(make_audit(victim=broken, seed=1))
    said: list[str] = []
    result = run_audit(make_audit(victim=victim), Watcher(notice=said.append))
    assert result.spent == BUDGET
    assert any("rows that a failed attempt has lost are recorded in" in one for one in said)
    assert (tmp_path / "run" / "failed-1" / "ledger.sqlite").is_file()


def test_an_attempt_that_bought_a_row_claims_its_folder(
    victim: Victim, make_audit: MakeAudit
) -> None:
    begun(make_audit, victim)
    with pytest.raises(LedgerError, match="another audit: the seed was 0 and is 1"):
        run_audit(make_audit(victim=victim, seed=1))


def test_one_source_of_the_fields_that_identify_an_audit(make_audit: MakeAudit) -> None:
    """Each field of the threat model but the budget is in the identity, or is empty there."""
    audit = make_audit()
    known = json.loads(audit.identity())["threat"]
    fields = {one.name for one in dataclasses.fields(audit.threat)}
    assert fields - set(known) <= {
        "query_budget", "features", "incomplete", "multi_label", "text"
    }  # fmt: skip


def test_a_ledger_without_a_table_yet_is_begun(
    victim: Victim, make_audit: MakeAudit, tmp_path: Path
) -> None:
    """A process was killed between the making of the file and that of its tables."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ledger.sqlite").touch()
    assert run_audit(make_audit(victim=victim)).spent == BUDGET
    assert not (tmp_path / "run" / "failed-1").exists()


def test_a_defence_does_not_recall_a_refused_row_as_an_answer(tmp_path: Path) -> None:
    defence = DEFENCES["modelguard_s"](epsilon=1.5)  # a row of zeros is at a distance of 1
    book = defence(lambda rows: rows)
    assert isinstance(book, Codebook)
    served = torch.tensor([[0.0, 0, 0], [0.1, 0.8, 0.1]])
    with closing(
        Ledger(tmp_path / "ledger.sqlite", audit="a", input_shape=(3,), num_classes=3)
    ) as ledger:
        batch = ledger.reserve(account="attack", position=0, digests=bytes(2 * 16))
        ledger.settle(batch, served, refused=1, reason="422: no")
        recall([defence], book, ledger)
    assert book.sizes == {1: 1}
