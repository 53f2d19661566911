from pathlib import Path

import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_runs import agreement, steal, total_variation
from tests.support.table_toys import COLOUR, TableToy, numbers, tree_toy

from clonecost.attacks.tramer_tree import TramerTree
from clonecost.attacks.tramer_tree_top_down import TramerTreeTopDown
from clonecost.errors import SetKey
from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import RuleModel
from clonecost.types import Feature, ThreatModel
from clonecost.victims import sklearn_victim
from clonecost.victims.zoo.estimators import StoppingTree


@pytest.mark.parametrize(
    "features", [numbers(3), (*numbers(4), COLOUR)], ids=["numbers", "with a category"]
)
def test_every_leaf_of_a_small_tree_is_found(features: tuple[Feature, ...], tmp_path: Path) -> None:
    toy = tree_toy(features, leaves=12)
    clones, spent = steal(TramerTreeTopDown(epsilon=1e-6), toy, tmp_path)
    found = clones[-1]
    assert isinstance(found, RuleModel)
    x = uniform_rows(features, 20_000, torch.Generator().manual_seed(8))
    truth = toy.answer(x).unique(dim=0)
    recovered = found.logits.softmax(1).unique(dim=0)
    assert len(truth) == 12
    assert torch.allclose(recovered, truth, atol=1e-12)  # each leaf's answer, and no other
    assert agreement(found, toy) == 1.0
    assert total_variation(found, toy) < 1e-12
    _, of_the_other = steal(TramerTree(epsilon=1e-6), toy, tmp_path)
    assert spent < of_the_other / 3  # the paper: a third to a fifth of them (table 6)


def test_leaves_that_answer_alike_are_found_since_no_node_above_them_does(tmp_path: Path) -> None:
    """What bottom-up cannot: pure leaves have six answers, the nodes above them hundreds."""
    rows = uniform_rows(numbers(6), 1_000, torch.Generator().manual_seed(3)).double()
    labels = (6 * (rows[:, 0] * rows[:, 1] + rows[:, 2]).sin()).round().long() % 6
    tree = StoppingTree(max_leaf_nodes=60, random_state=0).fit(rows.numpy(), labels.numpy())
    toy = TableToy(numbers(6), 6, sklearn_victim(tree), incomplete=True)
    bottom_up = steal(TramerTree(epsilon=1e-5), toy, tmp_path)[0][-1]
    top_down = steal(TramerTreeTopDown(epsilon=1e-5), toy, tmp_path)[0][-1]
    assert agreement(bottom_up, toy) < 0.9
    assert agreement(top_down, toy) > 0.97


def test_a_second_split_on_a_feature_that_is_set_is_not_missed(tmp_path: Path) -> None:
    """x <= 1/2, then y, then x again: setting x passes the first and hides the last."""
    features = (Feature(name="x", low=0, high=1), Feature(name="y", low=0, high=1))
    rows = uniform_rows(features, 4_000, torch.Generator().manual_seed(0)).double()
    x, y = rows.unbind(1)
    labels = torch.where(x > 0.5, 3, torch.where(y > 0.5, 2, (x > 0.25).long()))
    tree = StoppingTree(random_state=0).fit(rows.numpy(), labels.numpy())
    toy = TableToy(features, 4, sklearn_victim(tree), incomplete=True)
    clones, _ = steal(TramerTreeTopDown(epsilon=1e-6), toy, tmp_path)
    assert agreement(clones[-1], toy) == 1.0


def test_a_clone_of_half_the_budget_answers_everywhere(tmp_path: Path) -> None:
    """Nodes that were not examined stand for their subtrees."""
    toy = tree_toy(numbers(3), leaves=40)
    clones, spent = steal(TramerTreeTopDown(), toy, tmp_path, milestones=(1, 60, 300))
    scores = [agreement(clone, toy) for clone in clones]
    assert len(scores) == 4
    assert spent > 300
    assert max(scores[:2]) < scores[2] < scores[3]  # 60 queries are hardly past the root


def test_no_row_is_paid_for_twice(tmp_path: Path) -> None:
    toy = tree_toy((*numbers(3), COLOUR), leaves=20)
    recorded = RecordingVictim(toy.answer)
    _, spent = steal(TramerTreeTopDown(), toy, tmp_path, victim=recorded)
    assert len(recorded.rows) == len(set(recorded.rows)) == spent


def test_an_api_that_needs_every_value_is_refused() -> None:
    threat = ThreatModel(input_shape=(3,), num_classes=2, query_budget=9, features=numbers(3))
    error = TramerTreeTopDown().unfit(threat)
    assert error is not None
    assert SetKey("incomplete", True) in error.remedies


def test_a_stopping_tree_answers_where_a_value_is_missing() -> None:
    rows = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)).double().numpy()
    labels = (rows[:, 0] > 0.5).astype(int) + (rows[:, 1] > 0.5)
    tree = StoppingTree(random_state=0).fit(rows, labels)
    plain = DecisionTreeClassifier(random_state=0).fit(rows, labels)
    assert (tree.predict_proba(rows) == plain.predict_proba(rows)).all()
    nan = float("nan")
    nothing = torch.tensor([[nan, nan]], dtype=torch.float64).numpy()
    shares = torch.bincount(torch.from_numpy(labels)) / 500
    assert tree.predict_proba(nothing)[0] == pytest.approx(shares.tolist())
    assert tree.predict(nothing)[0] == int(shares.argmax())


def test_a_tree_of_one_feature(tmp_path: Path) -> None:
    features = numbers(1)
    rows = uniform_rows(features, 300, torch.Generator().manual_seed(0)).double()
    tree = StoppingTree(random_state=0).fit(rows.numpy(), (rows[:, 0] > 0.2).long().numpy())
    toy = TableToy(features, 2, sklearn_victim(tree), incomplete=True)
    clones, _ = steal(TramerTreeTopDown(epsilon=1e-6), toy, tmp_path)
    assert agreement(clones[-1], toy) > 0.999  # a row within epsilon of the threshold may differ
