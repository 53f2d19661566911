import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.support.attack_settings import SMALL, toy_attack
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import BUDGET, CLASSES, MakeAudit, toy_generator
from torch import Tensor

from clonecost.attacks import PROFILES
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.black_box_ripper import BlackBoxRipper
from clonecost.audit import check, run_audit
from clonecost.errors import AnswersError, SpecError, VictimError
from clonecost.persistence.run_folder import CLONE, SEARCH
from clonecost.report import Run, group_runs, query_costs
from clonecost.training.distill import distill
from clonecost.types import ThreatModel, Victim, as_pixels

TEST_ROWS = 400
TrainingRows = list[tuple[Tensor, Tensor]]


def small(**changes: object) -> BlackBoxRipper:
    return BlackBoxRipper(**{**SMALL["black_box_ripper"], **changes})  # type: ignore[arg-type]


@pytest.fixture
def training_rows(monkeypatch: pytest.MonkeyPatch) -> TrainingRows:
    """What each student was trained on: images and answers."""
    import clonecost.attacks.black_box_ripper as module

    seen: TrainingRows = []
    plain: Callable[..., None] = distill

    def spy(student: object, images: Tensor, answers: Tensor, *rest: object, **how: object) -> None:
        seen.append((images, answers))
        plain(student, images, answers, *rest, **how)

    monkeypatch.setattr(module, "distill", spy)
    return seen


def test_the_papers_constants_and_the_released_ones() -> None:
    paper = BlackBoxRipper()
    assert paper == PROFILES["black_box_ripper"]["paper"]
    algorithm = paper.algorithm
    assert (algorithm.population, algorithm.elite, algorithm.bound) == (30, 10, 3.0)
    assert (algorithm.mutation, algorithm.children) == (1.0, "uniform")
    assert (algorithm.stop, algorithm.threshold, algorithm.max_generations) == ("fitness", 0.02, 10)
    assert (paper.epochs, paper.batch_size, paper.lr, paper.loss) == (200, 64, 1e-3, "l2")
    assert (paper.evolve, paper.reuse) == (True, "evolved")
    assert algorithm.most_rows() == 30 + 9 * 20

    grey, rgb = (PROFILES["black_box_ripper"][name] for name in ("released", "released-rgb"))
    assert isinstance(grey, BlackBoxRipper)
    released = grey.algorithm
    assert (released.population, released.elite, released.bound) == (30, 10, 3.3)
    assert (released.mutation, released.children) == (0.5, "evenly")
    assert (released.stop, released.confidence) == ("probability", 0.9)
    assert (released.max_generations, grey.loss) == (10, "bce")
    assert rgb == dataclasses.replace(grey, max_generations=300)


def test_winners_train_the_student_and_were_sent_unchanged(
    victim: Victim, make_audit: MakeAudit, training_rows: TrainingRows
) -> None:
    counting = RecordingVictim(victim)
    attack = small(reuse="evolved", threshold=0.02)
    result = run_audit(make_audit(attack=attack, victim=counting, milestones=()))
    ((images, answers),) = training_rows
    search = result.search
    assert search is not None
    assert len(images) == search.targets == search.used_rows
    assert 0 < search.reached < search.targets
    torch.testing.assert_close(answers, victim(as_pixels(images)))
    sent = set(counting.rows[TEST_ROWS:])
    assert all(image.numpy().tobytes() in sent for image in as_pixels(images))
    fit = (answers.amax(1) > 0.85).sum()
    assert fit >= search.reached


def test_every_row_trains_the_student_if_all_are_reused(
    victim: Victim, make_audit: MakeAudit, training_rows: TrainingRows
) -> None:
    counting = RecordingVictim(victim)
    result = run_audit(make_audit(attack=small(reuse="all"), victim=counting))
    assert [len(images) for images, _ in training_rows] == [500, 1_000, BUDGET]
    rows = [image.numpy().tobytes() for image in as_pixels(training_rows[-1][0])]
    assert rows == counting.rows[TEST_ROWS:]
    assert result.search is not None
    assert (result.search.used_rows, result.search.wasted) == (BUDGET, 0)


@pytest.mark.parametrize(
    ("changes", "purpose"),
    [
        ({"reuse": "evolved"}, "search"),
        ({"reuse": "all"}, "training"),
        ({"evolve": False}, "training"),
    ],
)
def test_the_purpose_of_rows_agrees_with_their_use(
    make_audit: MakeAudit, changes: dict[str, object], purpose: str
) -> None:
    result = run_audit(make_audit(attack=small(**changes), milestones=()))
    assert result.traffic.purposes == {purpose: BUDGET}
    (group,) = group_runs([Run(Path(), result)])
    found = query_costs(group)
    assert found is not None
    wasted = result.search.wasted if result.search else 0
    assert found.unused / found.spent == pytest.approx(wasted)
    assert (found.unused > 0) == (purpose == "search")


def test_the_numbers_of_the_search(make_audit: MakeAudit) -> None:
    audit = make_audit(attack=small(reuse="evolved"))
    search = run_audit(audit).search
    assert search is not None
    assert sum(search.queries_per_class) == BUDGET
    assert search.wasted == pytest.approx(1 - search.used_rows / BUDGET)
    assert 1 <= search.generations <= 4
    images = load_file(audit.folder / SEARCH)
    count, generations = images["probability"].shape
    assert images["images"].shape == (count, generations, 1, 8, 8)
    assert images["images"].dtype == torch.uint8
    assert images["targets"].tolist() == [number % CLASSES for number in range(count)]
    assert count == 2 * CLASSES
    # the fittest so far never gets less fit; with few classes that mostly means surer
    assert (images["probability"].nan_to_num(1).diff(dim=1) > -0.2).all()


def test_without_evolution_each_image_costs_one_query(
    victim: Victim, make_audit: MakeAudit, training_rows: TrainingRows
) -> None:
    counting = RecordingVictim(victim)
    audit = make_audit(attack=small(evolve=False), victim=counting)
    result = run_audit(audit)
    assert [len(images) for images, _ in training_rows] == [500, 1_000, BUDGET]
    assert counting.seen == TEST_ROWS + BUDGET
    assert len(set(counting.rows)) == TEST_ROWS + BUDGET  # no image twice
    assert result.search is None
    assert not (audit.folder / SEARCH).exists()
    assert (
        torch.cat([images for images, _ in training_rows]).float().div(255).logit().abs().max()
        < 3.1
    )  # u = 3, and rounding


def test_a_milestone_does_not_disturb_the_search(make_audit: MakeAudit, tmp_path: Path) -> None:
    attack = small(reuse="evolved")
    often = make_audit(attack=attack, milestones=(2, 3, 77, 501, 502, 1_003), out=tmp_path / "a")
    never = make_audit(attack=attack, milestones=(), out=tmp_path / "b")
    assert run_audit(often).curve[-1] == run_audit(never).curve[-1]
    for name in (CLONE, SEARCH):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_milestone_before_any_search_has_ended_has_its_clone(
    make_audit: MakeAudit, training_rows: TrainingRows
) -> None:
    result = run_audit(make_audit(attack=small(reuse="evolved"), milestones=(10,)))
    assert len(training_rows[0][0]) == 10
    assert result.curve[0].queries == 10


def test_resumes_inside_an_evolution(victim: Victim, make_audit: MakeAudit, tmp_path: Path) -> None:
    # every search takes all of its four generations, 48, 32, 32 and 32 rows in four slots
    attack = small(reuse="evolved", threshold=0.0, slots=4)
    first = RecordingVictim(victim, fail_at=TEST_ROWS + 60)  # within the second one
    straight = run_audit(make_audit(attack=attack, out=tmp_path / "four"))
    with pytest.raises(VictimError, match="went away"):
        run_audit(make_audit(attack=attack, victim=first, out=tmp_path / "resumed"))
    assert first.seen == TEST_ROWS + 48
    second = RecordingVictim(victim)
    resumed = run_audit(make_audit(attack=attack, victim=second, out=tmp_path / "resumed"))
    assert second.seen == BUDGET - 48
    assert (resumed.curve, resumed.search) == (straight.curve, straight.search)
    for name in (CLONE, SEARCH):
        one, two = (tmp_path / run / name for run in ("four", "resumed"))
        assert one.read_bytes() == two.read_bytes()


def test_a_small_budget_is_not_spread_over_many_searches() -> None:
    attack = BlackBoxRipper()
    assert [attack.slots_for(budget) for budget in (100, 10_000, 50_000, 10**6)] == [1, 5, 29, 64]


def test_labels_alone_are_refused_before_the_first_query(
    victim: Victim, threat: ThreatModel, make_audit: MakeAudit
) -> None:
    for kind in ({"answers": "label"}, {"answers": "top_k", "top_k": 1}):
        counting = RecordingVictim(victim)
        poor = dataclasses.replace(threat, **kind)
        with pytest.raises(
            AnswersError, match=r"black_box_ripper needs richer answers.*want 'probs'"
        ):
            run_audit(make_audit("black_box_ripper", victim=counting, threat=poor))
        assert counting.seen == 0


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 16), (1, 8, 9)])
def test_a_generator_of_another_size_is_refused_before_the_first_query(
    shape: tuple[int, ...], victim: Victim, make_audit: MakeAudit
) -> None:
    counting = RecordingVictim(victim)
    audit = make_audit(
        "black_box_ripper", victim=counting, generators={"toy": toy_generator(shape)}
    )
    with pytest.raises(SpecError, match=r"makes images .* the victim takes \(1, 8, 8\)"):
        run_audit(audit)
    assert counting.seen == 0


def test_an_rgb_generator_serves_a_grey_victim(make_audit: MakeAudit) -> None:
    generators = {"toy": toy_generator((3, 8, 8))}
    result = run_audit(make_audit("black_box_ripper", generators=generators, milestones=()))
    assert result.spent == BUDGET


def test_a_missing_generator_is_named(make_audit: MakeAudit) -> None:
    with pytest.raises(SpecError, match="needs the generator 'toy', which the audit does not have"):
        run_audit(make_audit("black_box_ripper", generators={}))
    kit = AttackerKit(
        student=torch.nn.Identity, generator=None, rng=torch.Generator(),  # type: ignore[arg-type]
        device=torch.device("cpu"), horizon=1,
    )  # fmt: skip
    with pytest.raises(SpecError, match="the generator 'toy', which the attack needs"):
        kit.trained_generator("toy")


def test_another_generator_is_another_audit(make_audit: MakeAudit) -> None:
    one = make_audit("black_box_ripper")
    other = dataclasses.replace(toy_generator(), weights="others")
    two = make_audit("black_box_ripper", generators={"toy": other})
    assert one.identity() != two.identity()
    check(one)
    # a generator that the attack does not use does not change it
    assert make_audit().identity() == make_audit(generators={}).identity()


def test_the_result_names_what_the_generator_learnt_from(make_audit: MakeAudit) -> None:
    assert run_audit(make_audit("black_box_ripper", milestones=())).attack.proxy == "noise"
    elsewhere = dataclasses.replace(toy_generator(), proxy="elsewhere")
    found = run_audit(make_audit("black_box_ripper", generators={"toy": elsewhere}, milestones=(),
                                 out=make_audit().folder.with_name("other")))  # fmt: skip
    assert found.attack.proxy == "elsewhere"


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(SpecError, match=r"elite .* got 30, want less than the population, 30"):
        BlackBoxRipper(elite=30)


def test_the_plan_names_generator_and_price() -> None:
    plan = BlackBoxRipper().plan(100_000)
    assert "476 images of sngan-small for 30 to 210 queries" in plan
    assert "100,000 images of vae" in BlackBoxRipper(generator="vae", evolve=False).plan(100_000)
    assert toy_attack("black_box_ripper").plan(1)
