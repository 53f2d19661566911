import pytest
import torch
from tests.support.table_toys import COLOUR, numbers

from clonecost.tabular.features import uniform_rows
from clonecost.tabular.sklearn_students import train_student


@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_trees_learn_boxes_and_categories(classes: int) -> None:
    features = (*numbers(3), COLOUR)
    rows = uniform_rows(features, 600, torch.Generator().manual_seed(0))
    labels = ((rows[:, 0] > 0).long() + (rows[:, 3] == 1)) % classes
    model = train_student("boosted", features, rows[:400], labels[:400], classes, seed=0)
    found = model(rows[400:])
    assert found.shape == (200, classes)
    assert (found.argmax(1) == labels[400:]).double().mean() > 0.95
