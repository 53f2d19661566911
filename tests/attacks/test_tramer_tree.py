from pathlib import Path

import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_runs import agreement, steal, total_variation
from tests.support.table_toys import COLOUR, TableToy, numbers, tree_toy

from clonecost.attacks.tramer_tree import TramerTree
from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import RuleModel
from clonecost.types import Feature
from clonecost.victims import sklearn_victim


@pytest.mark.parametrize(
    "features", [numbers(3), (*numbers(4), COLOUR)], ids=["numbers", "with a category"]
)
def test_every_leaf_of_a_small_tree_is_found(features: tuple[Feature, ...], tmp_path: Path) -> None:
    toy = tree_toy(features, leaves=12)
    clones, spent = steal(TramerTree(epsilon=1e-6), toy, tmp_path)
    found = clones[-1]
    assert isinstance(found, RuleModel)
    x = uniform_rows(features, 20_000, torch.Generator().manual_seed(8))
    truth = toy.answer(x).unique(dim=0)
    recovered = found.logits.softmax(1).unique(dim=0)
    assert len(truth) == 12
    assert torch.allclose(recovered, truth, atol=1e-12)  # each leaf's answer, and no other
    assert agreement(found, toy) == 1.0
    assert total_variation(found, toy) < 1e-12
    assert spent < 12 * len(features) * 12 * 21  # m (d_cat k + d_num m log2 (range / eps))


def test_thresholds_are_found_to_epsilon_of_the_range(tmp_path: Path) -> None:
    """One split at .3 of a range from -2 to 2: two leaves, whose boxes meet there."""
    features = (Feature(name="only", low=-2, high=2),)

    def step(rows: torch.Tensor, /) -> torch.Tensor:
        first = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
        return torch.where(rows > -0.8, first, first.flip(0))

    clones, spent = steal(TramerTree(epsilon=1e-3, checks=0), TableToy(features, 3, step), tmp_path)
    found = clones[-1]
    assert isinstance(found, RuleModel)
    ends = [float(end) for end in found.low.flatten() if abs(float(end)) < 2]
    assert len(ends) == 1
    assert abs(ends[0] + 0.8) <= 4e-3
    assert (
        spent <= 8 + 3 + 2 * 10
    )  # eight drawn rows, the point, two ends, and from either leaf 2^10 steps halved


def test_leaves_that_answer_alike_are_told_apart_by_their_boxes(tmp_path: Path) -> None:
    """A square in quarters, a b / c a: three ids, four leaves."""
    features = (Feature(name="x", low=0, high=1), Feature(name="y", low=0, high=1))
    answers = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.9, 0.1]], dtype=torch.float64)

    def quarters(rows: torch.Tensor, /) -> torch.Tensor:
        return answers[(rows > 0.5).long() @ torch.tensor([1, 2])]

    toy = TableToy(features, 2, quarters)
    clones, _ = steal(TramerTree(), toy, tmp_path)
    found = clones[-1]
    assert isinstance(found, RuleModel)
    assert len(found.logits) == 4
    assert agreement(found, toy) > 0.99


def test_no_row_is_paid_for_twice(tmp_path: Path) -> None:
    toy = tree_toy(numbers(3), leaves=8)
    recorded = RecordingVictim(toy.answer)
    _, spent = steal(TramerTree(), toy, tmp_path, victim=recorded)
    assert len(recorded.rows) == len(set(recorded.rows)) == spent > 0


def test_a_plain_tree_of_two_ids_is_not_claimed_to_be_solved(tmp_path: Path) -> None:
    """Pure leaves answer alike: what is found is scored as it is."""
    rows = uniform_rows(numbers(4), 1_000, torch.Generator().manual_seed(3)).double()
    labels = ((rows[:, 0] * rows[:, 1]) > 0.2).long()
    tree = DecisionTreeClassifier(random_state=0).fit(rows.numpy(), labels.numpy())
    toy = TableToy(numbers(4), 2, sklearn_victim(tree))
    clones, spent = steal(TramerTree(), toy, tmp_path, budget=20_000)
    assert spent <= 20_000
    assert 0.4 < agreement(clones[-1], toy) < 1.0


def test_boosted_trees_are_left_to_another_attack_after_a_few_rows(tmp_path: Path) -> None:
    """A sum of trees has an answer for nearly each row; a smooth model, too."""
    weights = torch.rand(6, 9, generator=torch.Generator().manual_seed(0)).double()

    def boosted(rows: torch.Tensor, /) -> torch.Tensor:
        steps = (rows[:, :, None] > torch.linspace(-0.8, 0.8, 9)).double()
        p = ((steps - 0.5) * weights).sum((1, 2)).sigmoid()
        return torch.stack([p, 1 - p], 1)

    said: list[str] = []
    toy = TableToy(numbers(6), 2, boosted)
    _, spent = steal(TramerTree(), toy, tmp_path, budget=2_000, remark=said.append)
    assert spent <= 33
    assert "threshold_harvest copies them" in said[-1]
