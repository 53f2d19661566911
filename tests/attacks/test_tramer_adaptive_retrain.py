from pathlib import Path

import pytest
import torch
from sklearn.svm import SVC
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_runs import agreement, steal
from tests.support.table_toys import COLOUR, TableToy, linear_toy, numbers
from tests.support.toys import CLASSES

from clonecost.attacks.tramer_adaptive_retrain import TramerAdaptiveRetrain
from clonecost.tabular.features import Extraction, corner_rows, uniform_rows
from clonecost.victims import sklearn_victim


@pytest.mark.parametrize("strategy", ["uniform", "line_search", "adaptive"])
def test_labels_teach_a_linear_model(strategy: str, tmp_path: Path) -> None:
    toy = linear_toy((*numbers(4), COLOUR), CLASSES)
    attack = TramerAdaptiveRetrain(strategy=strategy)  # type: ignore[arg-type]
    clones, spent = steal(attack, toy, tmp_path, budget=2_000, answers="label")
    assert spent == 2_000
    assert agreement(clones[-1], toy) > 0.96


def test_rows_on_the_clones_boundary_teach_more_than_uniform_ones(tmp_path: Path) -> None:
    toy = linear_toy(numbers(10), CLASSES)
    found = {
        strategy: [
            agreement(
                steal(
                    TramerAdaptiveRetrain(strategy=strategy), toy, tmp_path, budget=500,
                    answers="label", seed=seed,
                )[0][-1],
                toy,
            )
            for seed in range(3)
        ]
        for strategy in ("uniform", "adaptive")
    }  # fmt: skip
    assert min(found["adaptive"]) > max(found["uniform"])


def test_line_search_ends_on_both_sides_and_near(tmp_path: Path) -> None:
    toy = linear_toy(numbers(3), 2)
    recorded = RecordingVictim(toy.answer)
    attack = TramerAdaptiveRetrain(strategy="line_search", distance=0.05)
    steal(attack, toy, tmp_path, budget=1_000, victim=recorded, answers="label")
    last = torch.cat(recorded.batches)[400:600]
    scaled = Extraction(toy.features)(last)
    margin = toy.answer(last).log().diff(dim=1)[:, 0]
    even = toy.answer(uniform_rows(toy.features, 500, torch.Generator())).log().diff(dim=1)[:, 0]
    assert float(margin.abs().median()) < float(even.abs().median()) / 2
    assert 0 < int((margin > 0).sum()) < len(margin)
    assert float(scaled.abs().max()) <= 1


@pytest.mark.parametrize("model", ["mlp", "rbf_svm"])
def test_other_families_learn_a_circle(model: str, tmp_path: Path) -> None:
    features = numbers(2)
    x = uniform_rows(features, 1_000, torch.Generator().manual_seed(0))
    inside = (Extraction(features)(x).norm(dim=1) < 0.7).long().numpy()
    victim = SVC(gamma=1.0).fit(x.double().numpy(), inside)
    toy = TableToy(features, 2, sklearn_victim(victim))
    attack = TramerAdaptiveRetrain(model=model, hidden=8)  # type: ignore[arg-type]
    clones, _ = steal(attack, toy, tmp_path, budget=400, answers="label")
    assert agreement(clones[-1], toy) > 0.95


def test_one_class_is_a_constant_until_another_is_seen(tmp_path: Path) -> None:
    toy = TableToy(numbers(2), 3, lambda rows: torch.tensor([[0.0, 1.0, 0.0]]).expand(len(rows), 3))
    clones, _ = steal(TramerAdaptiveRetrain(), toy, tmp_path, budget=60, answers="label")
    assert agreement(clones[-1], toy) == 1.0


def test_a_class_in_a_corner_is_found_where_uniform_rows_miss_it(tmp_path: Path) -> None:
    features = numbers(30)  # the sum of uniform rows is far from its least value
    least = sum(feature.low for feature in features)
    recorded = RecordingVictim(lambda rows: torch.eye(2)[(rows.sum(1) < 0.6 * least).long()])
    toy = TableToy(features, 2, recorded)
    clones, _ = steal(TramerAdaptiveRetrain(), toy, tmp_path, budget=300, answers="label")
    assert len(recorded(uniform_rows(features, 2_000, _rng())).argmax(1).unique()) == 1
    corners = corner_rows(features, 2_000, _rng())
    found = clones[-1](corners).argmax(1)
    assert (found == recorded(corners).argmax(1)).float().mean() > 0.95
    assert 50 < found.sum() < 1_950  # not a constant


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)
