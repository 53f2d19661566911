"""Equation solvers end with a right clone or with a remark, whatever answers they get."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cli_runs import run
from tests.support.table_runs import agreement, steal
from tests.support.table_toys import COLOUR, TableToy, numbers, tree_toy

from clonecost.attacks import ATTACKS
from clonecost.attacks._usable_rows import rows_of_another_class
from clonecost.attacks.tramer_lr import TramerLr
from clonecost.defences.rounding import Rounding
from clonecost.result import read_result
from clonecost.tabular.models import LinearModel
from clonecost.types import Feature


def steep_toy(
    features: tuple[Feature, ...], classes: int, *, scale: float, seed: int = 7
) -> TableToy:
    """Logistic regression with weights of about `scale`: the larger, the more answers are 0 or 1.

    Two classes answer 1 - p and p, as scikit-learn does: the digits of 1 - p are lost near p = 1.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LinearModel(features, classes)
        with torch.no_grad():
            model.linear.weight.normal_().mul_(scale)
            model.linear.bias.normal_(std=0.1).mul_(scale)

    def answer(rows: torch.Tensor, /) -> torch.Tensor:
        z = model(rows).detach()
        p = z.diff(dim=1).sigmoid()
        return torch.cat([1 - p, p], 1) if classes == 2 else z.softmax(1)

    return TableToy(features, classes, answer)


@settings(max_examples=6)
@given(
    d=st.integers(2, 8), classes=st.integers(2, 4), power=st.floats(-1, 6), colour=st.booleans(),
    seed=st.integers(0, 99), decimals=st.sampled_from([None, None, 1, 3]),
)  # fmt: skip
def test_saturated_answers_are_replaced_until_the_clone_is_right(
    tmp_path: Path, d: int, classes: int, power: float, colour: bool, seed: int,
    decimals: int | None,
) -> None:  # fmt: skip
    features = (*numbers(d), COLOUR) if colour else numbers(d)
    toy = steep_toy(features, classes, scale=10.0**power, seed=seed)
    victim = toy.answer if decimals is None else Rounding(decimals=decimals)(toy.answer)
    said = [""]
    clones, spent = steal(
        TramerLr(), toy, tmp_path, budget=5_000, seed=seed, victim=victim, remark=said.append
    )
    assert agreement(clones[-1], toy) >= 0.98 or said[-1], (spent, said)
    assert decimals is not None or agreement(clones[-1], toy) >= 0.99


@pytest.mark.parametrize("attack", ["tramer_lr", "tramer_mlp", "tramer_kernel_lr"])
def test_a_victim_of_another_kind_is_told_and_the_attack_that_fits_is_named(
    attack: str, tmp_path: Path
) -> None:
    quick: dict[str, object] = {} if attack == "tramer_lr" else {"iterations": 30, "alpha": 1.0}
    said = [""]
    toy = tree_toy(numbers(4))
    steal(ATTACKS[attack](**quick), toy, tmp_path, budget=3_000, remark=said.append)
    assert "The victim is not a" in said[-1]
    assert "tramer_tree solves for a tree" in said[-1] or "tramer_tree for a tree" in said[-1]


def test_a_budget_below_the_unknowns_is_told(tmp_path: Path) -> None:
    said = [""]
    steal(TramerLr(), steep_toy(numbers(9), 2, scale=1.0), tmp_path, budget=6, remark=said.append)
    assert said[-1].startswith("The budget of 6 rows is smaller than the 10 rows")


def test_a_milestone_among_the_checks_is_what_its_own_budget_gives(tmp_path: Path) -> None:
    toy = steep_toy(numbers(4), 2, scale=200.0)
    stops = (3, 6, 30, 60, 100)
    clones, _ = steal(TramerLr(), toy, tmp_path, budget=150, milestones=stops)
    x = torch.rand(50, 4) * 0.5
    for stop, clone in zip(stops, clones, strict=False):
        alone, spent = steal(TramerLr(), toy, tmp_path, budget=stop)
        assert spent == stop
        assert torch.equal(clone(x), alone[-1](x)), stop


def test_the_case_of_saturated_answers_needs_no_flag(cases: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["audit", str(cases / "saturated.skops"), "--test", str(cases / "saturated.csv"),
             "--attack", "tramer_lr", "--uniform", "0", "--out", str(out)]  # fmt: skip
    done = run(*words, "--budget", "2000")
    assert done.status == 0
    result = read_result(out)
    assert result.curve[-1].agreement.value >= 0.99
    assert result.curve[-1].queries < 1_000
    assert "attack-fell-short" not in [flag.code for flag in result.flags]


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_a_line_leads_to_a_row_of_another_class(classes: int) -> None:
    rng = torch.Generator().manual_seed(0)
    drawn = torch.randint(classes, (500,), generator=rng)
    begun = torch.randint(classes, (300,), generator=rng)
    found = rows_of_another_class(begun, drawn, rng)
    if classes == 1:
        assert (found == -1).all()
        return
    assert (drawn[found] != begun).all()
    assert len(found.unique()) > 100  # drawn, not always the same row
