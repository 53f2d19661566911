"""GRAD²: its optimum, the derivative behind it, and the surrogates that it takes."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from clonecost.defences._cheapest import cheapest
from clonecost.defences.grad2 import Grad2, most, slopes

Rows = list[list[float]]

KNOWN: list[tuple[Rows, float, Rows]] = [
    ([[-1, 2, 0.5]], 0.5, [[0.45, 0.45, 0.1]]),
    ([[-1, 2, 0.5]], 2, [[0, 1, 0]]),
    ([[2, -1, 0.5]], 1, [[1, 0, 0]]),
    ([[1, 1, 1]], 0.2, [[0.8, 0.1, 0.1]]),  # no direction: the lowest indices get and give
]


@pytest.mark.parametrize(("c", "epsilon", "answer"), KNOWN)
def test_known_answers(c: Rows, epsilon: float, answer: Rows) -> None:
    y = torch.tensor([[0.7, 0.2, 0.1]])
    found = most(y, torch.tensor(c, dtype=torch.float32), epsilon)
    torch.testing.assert_close(found, torch.tensor(answer, dtype=torch.float32), atol=1e-6, rtol=0)


def optimum(y: np.ndarray, cost: np.ndarray, epsilon: float, margin: float | None) -> float | None:
    """SciPy's minimum of cost . y' under the same constraints; None: there is no answer."""
    k, top = len(y), int(y.argmax())
    eye, zero = np.eye(k), np.zeros((k, k))
    rows = [np.hstack([eye, -eye]), np.hstack([-eye, -eye]), np.r_[np.zeros(k), np.ones(k)][None]]
    bounds = [y, -y, np.array([epsilon])]
    if margin is not None:
        rows.append(np.hstack([np.delete(eye - eye[top], top, 0), zero[:-1]]))
        bounds.append(np.full(k - 1, -margin))
    found = linprog(
        np.r_[cost, np.zeros(k)], A_ub=np.vstack(rows), b_ub=np.concatenate(bounds),
        A_eq=np.r_[np.ones(k), np.zeros(k)][None], b_eq=[1], bounds=(0, None),
    )  # fmt: skip
    return float(found.fun) if found.status == 0 else None


@pytest.mark.parametrize("keep_top", [False, True])
def test_it_is_the_optimum_of_its_linear_programme(keep_top: bool) -> None:
    rng, margin = np.random.default_rng(3), 1e-3 if keep_top else None
    for classes in [2, 3, 5, 10] * 5:
        y = rng.dirichlet(np.full(classes, rng.choice([0.2, 1, 3])))
        c = rng.normal(size=classes)
        epsilon = float(rng.choice([0.1, 0.5, 1, 1.7]))
        rows, slope = torch.from_numpy(y)[None], torch.from_numpy(c)[None]
        if margin is not None:
            found = cheapest(rows, -slope, epsilon, margin)[0].numpy()
        else:
            found = most(rows, slope, epsilon)[0].numpy()
        best = optimum(y, -c, epsilon, margin)
        if best is None:
            np.testing.assert_array_equal(found, y)
        else:
            assert float(-c @ found) == pytest.approx(best, abs=1e-6)


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).eval()


def test_the_slopes_are_those_of_the_explicit_jacobian() -> None:
    model, x = tiny(), torch.rand(3, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    rng = torch.Generator().manual_seed(2)
    z = {name: torch.randn(one.shape, generator=rng) for name, one in model.named_parameters()}
    expected = torch.zeros(3, 4)
    for row in range(3):
        for k in range(4):
            log = torch.log_softmax(model(x[row : row + 1]), 1)[0, k]
            gradients = torch.autograd.grad(log, list(model.parameters()))
            expected[row, k] = sum(
                (g * t).sum() for g, t in zip(gradients, z.values(), strict=True)
            )
    with torch.no_grad():  # as an oracle asks
        found = slopes(model, x, z)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert not found.requires_grad


def test_the_surrogate_and_its_seed_decide_and_torchs_randomness_does_not() -> None:
    clean = torch.full((20, 4), 0.25)
    inputs = torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def served(**how: object) -> Tensor:
        return dataclasses.replace(Grad2(), **how)(lambda _: clean)(inputs)  # type: ignore[arg-type]

    state = torch.get_rng_state()
    assert torch.equal(served(), served())
    assert torch.equal(torch.get_rng_state(), state)
    different: list[Callable[[], Tensor]] = [
        lambda: served(seed=1), lambda: served(surrogate="half-lenet"),
        lambda: served(direction="random"),
    ]  # fmt: skip
    assert all(not torch.equal(served(), one()) for one in different)
