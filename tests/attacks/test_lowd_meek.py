from pathlib import Path

import pytest
import torch
from tests.support.table_runs import agreement, steal
from tests.support.table_toys import COLOUR, TableToy, linear_toy, numbers
from tests.support.toys import MakeAudit
from torch.nn import functional as F

from clonecost.attacks.lowd_meek import LowdMeek
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.tabular.models import LinearModel
from clonecost.types import ThreatModel


def plane(weights: list[float], bias: float) -> TableToy:
    features = numbers(len(weights))
    model = LinearModel(features, 2)
    with torch.no_grad():
        model.linear.weight.copy_(torch.tensor([[0.0] * len(weights), weights]))
        model.linear.bias.copy_(torch.tensor([0.0, bias]))
    return TableToy(features, 2, lambda rows: model(rows).softmax(1).detach())


@pytest.mark.parametrize("scale", [1.0, -50.0])
def test_labels_alone_give_the_direction_of_the_weights(scale: float, tmp_path: Path) -> None:
    """Weights a thousandfold apart, one of them nothing, of either sign."""
    w = torch.tensor([3.0, -2.0, 0.003, 0.0, 1.0], dtype=torch.float64) * scale
    toy = plane(w.tolist(), 0.4 * scale)
    clones, spent = steal(LowdMeek(epsilon=1e-6, checks=0), toy, tmp_path, answers="label")
    clone = clones[-1]
    assert isinstance(clone, LinearModel)
    found = clone.linear.weight[1]
    assert float(F.cosine_similarity(found, w, dim=0).detach()) > 1 - 1e-9
    assert abs(float((clone.linear.bias[1] / found[0]).detach()) - 0.4 / 3) < 1e-5
    assert spent < 64 + 4 + 5 * (2 * 10 + 21)
    assert agreement(clone, toy) > 0.9999


def test_one_label_alone_gives_its_name(tmp_path: Path) -> None:
    toy = plane([0.1, 0.1], 9.0)  # the boundary lies outside the box
    clones, spent = steal(LowdMeek(), toy, tmp_path, answers="label", budget=200)
    assert spent == 200
    assert agreement(clones[-1], toy) == 1.0


def test_what_it_cannot_attack_is_refused_before_anything_is_sent(make_audit: MakeAudit) -> None:
    for toy, sentence in (
        (linear_toy(numbers(3), 3), "one hyperplane between two classes: got 3 classes, want 2"),
        (linear_toy((*numbers(2), COLOUR), 2), "'colour' is a category"),
    ):
        threat = ThreatModel(
            input_shape=(3,), num_classes=toy.classes, query_budget=9, features=toy.features
        )
        rows = torch.zeros(4, 3)
        test = make_audit().test.__class__(rows, torch.zeros(4, dtype=torch.int64))
        audit = make_audit(
            LowdMeek(), victim=toy.answer, threat=threat, test=test, proxy=None, uniform=0
        )
        with pytest.raises(SpecError, match=sentence):
            run_audit(audit)
        assert not audit.folder.exists()
