import torch
from tests.support.table_toys import linear_toy, numbers
from tests.support.toys import CLASSES
from threadpoolctl import threadpool_info
from torch import nn

from clonecost.tabular.equation_solver import cross_entropy, solve
from clonecost.tabular.models import LinearModel


@torch.no_grad()
def test_a_perfect_copy_has_no_loss() -> None:
    toy = linear_toy(numbers(3), CLASSES)
    x = torch.rand(20, 3)
    model = LinearModel(toy.features, CLASSES)
    loss = cross_entropy(model, x, model(x).softmax(1), 0.0)
    assert abs(float(loss)) < 1e-12
    size = sum(float((p * p).sum()) for p in model.parameters())
    heavier = cross_entropy(model, x, model(x).softmax(1), 0.5)
    assert abs(float(heavier - loss) - size / 4) < 1e-12


def test_solve_finds_the_minimum_of_a_parabola_with_either_solver() -> None:
    for solver in ("bfgs", "l-bfgs-b"):
        model = nn.Linear(3, 2, dtype=torch.float64)
        target = torch.arange(6.0, dtype=torch.float64).view(2, 3)
        steps: list[int] = []

        def loss(model: nn.Linear = model, target: torch.Tensor = target) -> torch.Tensor:
            return ((model.weight - target) ** 2).sum() + (model.bias + 1).square().sum()

        minimum = solve(model, loss, solver=solver, gradient=1e-12, on_iteration=steps.append)
        assert minimum < 1e-20
        assert torch.allclose(model.weight, target, atol=1e-10)
        assert steps == list(range(1, len(steps) + 1))


def threads_of_libraries() -> dict[str, int]:
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


def test_small_problems_use_one_thread_and_restore_the_callers_threads() -> None:
    """Two threads on two idle cores took ten times as long, and sums depend on their number."""
    model = nn.Linear(3, 2, dtype=torch.float64)
    during: set[int] = set()

    def loss() -> torch.Tensor:
        during.update(pool["num_threads"] for pool in threadpool_info())
        during.add(torch.get_num_threads())
        return model.weight.square().sum() + model.bias.square().sum()

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = threads_of_libraries()
        solve(model, loss)
        assert during == {1}
        assert before.items() <= threads_of_libraries().items()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
