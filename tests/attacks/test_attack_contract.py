"""The contract of every attack. A new attack is found in ATTACKS and tested."""

import dataclasses
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_toys import TABLE_TOYS
from tests.support.toys import BUDGET, MakeAudit
from tests.support.undisturbed_runs import LITTLE, Undisturbed, counted, few_rows, undisturbed
from torch import nn

from clonecost.attacks import ATTACKS, PROFILES
from clonecost.audit import Watcher, run_audit
from clonecost.audit.attack_traits import queries_per_iteration
from clonecost.errors import AnswersError, SetKey, SpecError, VictimError
from clonecost.oracle.ledger import Account, Ledger, Recorded
from clonecost.result import Result
from clonecost.types import LabelledInputs, ThreatModel, Victim

WHITE_BOXES = sorted(name for name in ATTACKS if ATTACKS[name].declares.white_box)
every_attack = pytest.mark.parametrize("name", sorted(ATTACKS))
every_querying_attack = pytest.mark.parametrize("name", sorted(set(ATTACKS) - set(WHITE_BOXES)))
every_white_box = pytest.mark.parametrize("name", WHITE_BOXES)
# These attacks on tables have no loop with a checkpoint and compute for seconds at most: a resumed
# run computes everything again from the ledger's answers.
COMPUTED_AGAIN_IN_SECONDS = {
    "lowd_meek", "relu_exact", "threshold_harvest", "tramer_adaptive_retrain", "tramer_tree",
    "tramer_tree_top_down",
}  # fmt: skip
every_attack_with_snapshots = pytest.mark.parametrize(
    "name", sorted(set(ATTACKS) - set(WHITE_BOXES) - COMPUTED_AGAIN_IN_SECONDS)
)
TEST_ROWS = 400


Settings = dict[str, Any]
Made = dict[tuple[str, str], Undisturbed]


@pytest.fixture(scope="module")
def made() -> Made:
    """Runs that several tests compare with: each is made once, when it is wanted."""
    return {}


@pytest.fixture
def few(threat: ThreatModel, proxy: LabelledInputs) -> Settings:
    return few_rows(threat, proxy)


@pytest.fixture
def whole(
    name: str, victim: Victim, make_audit: MakeAudit, proxy: LabelledInputs, made: Made,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:  # fmt: skip
    """The run of the toy's budget; who queries has as many proxy rows, GANs train on them all."""
    if (name, "whole") not in made:
        folder = tmp_path_factory.mktemp(name)
        all_rows = name in WHITE_BOXES or TABLE_TOYS.get(name)
        rows = {} if all_rows else {"proxy": proxy.take(slice(0, BUDGET))}
        made[name, "whole"] = undisturbed(make_audit, name, victim, folder, **rows)
    return made[name, "whole"]


@pytest.fixture
def short(
    name: str, victim: Victim, make_audit: MakeAudit, few: Settings, made: Made,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:  # fmt: skip
    """The run of few rows."""
    if (name, "short") not in made:
        folder = tmp_path_factory.mktemp(name)
        made[name, "short"] = undisturbed(make_audit, name, victim, folder, **few)
    return made[name, "short"]


def rows_replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows replayed in the attack's account, batch by batch, from now on."""
    rows: list[int] = []
    recorded = Ledger.recorded

    def noted(ledger: Ledger, account: Account, position: int, count: int) -> Recorded | None:
        known = recorded(ledger, account, position, count)
        if known is not None and account == "attack":
            rows.append(len(known.answers))
        return known

    monkeypatch.setattr(Ledger, "recorded", noted)
    return rows


def without_time(result: Result | None) -> dict[str, Any]:
    """The part of a result that does not depend on interruptions."""
    assert result is not None
    held = result.model_dump(exclude={"seconds", "provenance", "lost", "flags", "spot_check"})
    # the evidence in brackets is of the first batch, whose size follows from how it was cut off
    held["victim"]["served"] = result.victim.served.partition(" (")[0]
    return held


def sent_again(result: Result | None) -> int:
    """Rows that the spot checks of a run's resumes asked again, counted in their own account."""
    assert result is not None
    return result.spot_check.rows if result.spot_check else 0


@every_attack
def test_spends_what_it_reports_and_beats_the_majority_class(name: str, whole: Undisturbed) -> None:
    result = whole.result
    assert whole.victim.seen - TEST_ROWS == result.spent <= BUDGET
    assert result.evaluation == TEST_ROWS
    assert result.curve[-1].agreement.low > result.majority_agreement
    queries = [score.queries for score in result.curve]
    assert queries == sorted(set(queries))
    assert queries[-1] == result.spent == result.traffic.rows


@every_querying_attack
def test_failure_and_scores_change_neither_the_queries_nor_the_clone(
    name: str, short: Undisturbed, victim: Victim, make_audit: MakeAudit, few: Settings,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A run that fails once and is scored at its end only, and one with scores on the way."""
    straight, few = short.result, {**few, "milestones": ()}
    first = RecordingVictim(victim, fail_at=TEST_ROWS + LITTLE // 2)
    with pytest.raises(VictimError, match="went away"):
        run_audit(make_audit(name, **few, victim=first, out=tmp_path))
    second = RecordingVictim(victim)
    resumed = run_audit(make_audit(name, **few, victim=second, out=tmp_path))

    assert len(straight.curve) > len(resumed.curve) == 1
    assert resumed.curve[-1] == straight.curve[-1]
    one, two = ((out / "clone.safetensors").read_bytes() for out in (short.folder, tmp_path))
    assert one == two
    assert resumed.spent == straight.spent
    assert resumed.lost > 0  # the batch that was sent when the API failed
    spot = sent_again(resumed)
    assert set(second.rows[:spot]) < set(first.rows)  # the check comes first
    # no other row was asked twice, and none that the other run did not ask
    assert first.rows + second.rows[spot:] == short.victim.rows
    assert first.seen + second.seen == straight.spent + TEST_ROWS + spot
    assert [flag.code for flag in resumed.flags].count("lost-rows") == 1


@every_attack_with_snapshots
def test_resumes_from_a_snapshot_with_little_recomputation(
    name: str, short: Undisturbed, victim: Victim, threat: ThreatModel, make_audit: MakeAudit,
    few: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Stopped during a query, then during training: less than an iteration is recomputed."""
    straight, steps, attack = short.result, short.steps, toy_attack(name)
    notices: list[str] = []
    stopped: list[int] = []

    def stop_half_way(what: str, done: int, total: int) -> None:
        if "train" in what and 2 * done >= total and not stopped:
            stopped.append(done)
            raise KeyboardInterrupt

    def part(victim: Victim, watcher: Watcher) -> Result | None:
        audit = make_audit(name, **few, victim=victim, out=tmp_path / "two", snapshot_every=0.0)
        try:
            return run_audit(audit, watcher)
        except (VictimError, KeyboardInterrupt):
            return None

    asked = RecordingVictim(victim, fail_at=TEST_ROWS + 440)
    _, done = counted(lambda: part(asked, Watcher()))
    assert (tmp_path / "two" / "snapshots").is_dir()
    again = RecordingVictim(victim)
    replayed = rows_replayed(monkeypatch)
    resumed, more = counted(lambda: part(again, Watcher(notice=notices.append, step=stop_half_way)))
    done += more
    if stopped:
        assert resumed is None
        resumed, more = counted(lambda: part(again, Watcher(notice=notices.append)))
        done += more

    assert without_time(resumed) == without_time(straight)
    samples = ["samples.safetensors"] if threat.features is None else []  # no pictures of a table
    for file in ("clone.safetensors", *samples):
        one, two = ((out / file).read_bytes() for out in (short.folder, tmp_path / "two"))
        assert one == two, file
    assert asked.seen + again.seen == straight.spent + TEST_ROWS + sent_again(resumed)
    assert done - steps <= steps / 5
    # rows of the part before the loop and of one iteration are replayed, not bought
    before_loop = getattr(attack, "seeds", 0) + int(getattr(attack, "before", 0) * LITTLE)
    iteration = getattr(attack, "queries_per_iteration", 250)  # or one interval of milestones
    assert sum(replayed) <= (1 + len(stopped)) * (before_loop + iteration)
    assert notices == []
    assert not (tmp_path / "two" / "snapshots").exists()


@every_querying_attack
def test_a_larger_budget_continues_a_run_of_a_smaller_one(
    name: str, victim: Victim, threat: ThreatModel, make_audit: MakeAudit, few: Settings
) -> None:
    few = {**few, "milestones": ()}
    small = {**few, "threat": replace(threat, query_budget=400)}
    first, second = RecordingVictim(victim), RecordingVictim(victim)
    before = run_audit(make_audit(name, **small, victim=first))
    after = run_audit(make_audit(name, **few, victim=second))
    assert after.spent > before.spent
    assert first.seen + second.seen == after.spent + TEST_ROWS + sent_again(after)
    assert before.curve[-1] in after.curve  # the first budget's clone is still on the curve


@every_querying_attack
def test_needs_are_refused_before_the_first_query(
    name: str, victim: Victim, threat: ThreatModel, make_audit: MakeAudit, few: Settings
) -> None:
    labels = replace(threat, answers="label", query_budget=LITTLE)
    counting = RecordingVictim(victim)
    audit = make_audit(name, **{**few, "threat": labels, "milestones": ()}, victim=counting)
    if ATTACKS[name].declares.needs == "label":
        assert run_audit(audit).spent > 0
    else:
        with pytest.raises(AnswersError, match=f"{name} needs richer answers"):
            run_audit(audit)
        assert counting.seen == 0


@every_querying_attack
def test_an_iteration_costs_what_it_declares(
    name: str, victim: Victim, threat: ThreatModel, make_audit: MakeAudit
) -> None:
    attack = toy_attack(name)
    cost = queries_per_iteration(attack)
    if not cost:
        pytest.skip(f"{name} has no iterations")
    counting = RecordingVictim(victim)
    exactly = replace(threat, query_budget=3 * cost + cost - 1)
    result = run_audit(make_audit(name, victim=counting, threat=exactly, milestones=()))
    assert counting.seen - TEST_ROWS == result.spent == 3 * cost


@every_white_box
def test_a_white_box_sends_no_query_and_resumes_to_the_same_clone(
    name: str, whole: Undisturbed, network: nn.Module, make_audit: MakeAudit, tmp_path: Path
) -> None:
    straight, steps, counting = whole.result, whole.steps, whole.victim
    assert counting.seen == TEST_ROWS  # the evaluation's
    assert [score.queries for score in straight.curve] == [straight.spent] == [0]
    assert straight.threat.access == "white-box"
    assert "white-box-reference" in [flag.code for flag in straight.flags]

    before = {key: value.clone() for key, value in network.state_dict().items()}
    steps_seen = []

    def crash(what: str, done: int, total: int) -> None:
        steps_seen.append(what)
        if done == total and "student" in what:
            raise KeyboardInterrupt

    def stopped() -> None:
        with pytest.raises(KeyboardInterrupt):
            run_audit(
                make_audit(name, out=tmp_path / "resumed", snapshot_every=0.0), Watcher(step=crash)
            )

    _, done = counted(stopped)
    resumed, more = counted(
        lambda: run_audit(make_audit(name, victim=counting, out=tmp_path / "resumed"))
    )
    assert resumed is not None
    assert done + more - steps <= steps / 5  # it resumes from a snapshot
    assert counting.seen == TEST_ROWS  # bought before the crash
    assert len(set(steps_seen)) > 2  # the evaluation, the images, the student
    assert resumed.curve == straight.curve
    one, two = (load_file(o / "clone.safetensors") for o in (whole.folder, tmp_path / "resumed"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert all(torch.equal(network.state_dict()[key], before[key]) for key in before)
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


@every_attack
def test_the_callers_randomness_is_left_alone(name: str, whole: Undisturbed) -> None:
    assert whole.same_randomness


@every_attack
def test_file_is_short_and_reads_no_private_attribute(name: str) -> None:
    source = Path(inspect.getfile(ATTACKS[name]))
    text = source.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert "oracle._" not in text


@every_attack
def test_settings_out_of_range_are_refused(name: str) -> None:
    numbers = {
        field.name: field.default
        for field in dataclasses.fields(ATTACKS[name])  # type: ignore[arg-type]
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool)
    }
    assert numbers
    for field in numbers:
        with pytest.raises(SpecError, match=rf"{name}\.{field} .* got -1, want at least") as caught:
            ATTACKS[name](**{field: -1})
        assert caught.value.remedies == (SetKey(f"set.{name}.{field}"),)


@every_attack
def test_settings_are_frozen_keyword_only_and_survive_their_repr(name: str) -> None:
    attack = ATTACKS[name]()
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.batch_size = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        ATTACKS[name](32)  # type: ignore[call-arg]
    assert eval(repr(attack), {type(attack).__name__: type(attack)}) == attack
    assert all(isinstance(profile, type(attack)) for profile in PROFILES[name].values())


@every_attack
def test_has_its_page_with_numbered_deviations(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "attacks" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert "## Deviations" in text
    assert "\n1. " in text.partition("## Deviations")[2]
