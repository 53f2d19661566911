from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.table_runs import steal, total_variation
from tests.support.table_toys import TableToy, numbers
from tests.support.toys import CLASSES

from clonecost.attacks.tramer_kernel_lr import TramerKernelLr
from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import RbfModel

REPRESENTERS = 2


def machine() -> tuple[TableToy, RbfModel]:
    features = numbers(2)
    rng = torch.Generator().manual_seed(4)
    model = RbfModel(features, REPRESENTERS, CLASSES, gamma=1.5)
    with torch.no_grad():
        model.representers.copy_(model.extract(uniform_rows(features, REPRESENTERS, rng)))
        model.out.weight.copy_(2 * torch.randn(CLASSES, REPRESENTERS, generator=rng))
        model.out.bias.zero_()
    return TableToy(features, CLASSES, lambda rows: model(rows).softmax(1).detach()), model


@pytest.mark.parametrize("guessed", [REPRESENTERS, 3 * REPRESENTERS])
def test_a_kernel_machine_is_solved_and_its_training_rows_leak(
    guessed: int, tmp_path: Path
) -> None:
    toy, victim = machine()
    attack = TramerKernelLr(representers=guessed, alpha=10.0, iterations=400, checks=0)
    (clone,), spent = steal(attack, toy, tmp_path)
    assert spent == 10 * (guessed * 2 + CLASSES * (guessed + 1) + 1)
    assert total_variation(clone, toy) < 1e-4
    assert isinstance(clone, RbfModel)
    nearest = torch.cdist(victim.representers.detach(), clone.representers.detach()).amin(1)
    assert float(nearest.max()) < 0.02  # of a range of 2


def test_a_search_that_is_caught_begins_anew(tmp_path: Path) -> None:
    toy, _ = machine()
    attack = TramerKernelLr(representers=REPRESENTERS, iterations=400, checks=0)
    once, often = (
        steal(replace(attack, starts=starts), toy, tmp_path) for starts in (1, attack.starts)
    )
    assert once[1] == often[1]  # it costs time, no query
    assert total_variation(once[0][-1], toy) > 0.1
    assert total_variation(often[0][-1], toy) < 1e-4
