"""Selection scores against known values."""

import pytest
import torch
from tests.support.toys import CLASSES, SHAPE, toy_student
from torch import Tensor, nn

from clonecost.query_synthesis import active_selection
from clonecost.query_synthesis.active_selection import (
    OVERSHOOT,
    boundary_distance,
    entropy_gradients,
    k_centre,
    probabilities,
)


def rows(count: int = 50) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_probabilities_are_computed_in_eval_mode_and_the_mode_is_restored() -> None:
    student, x = toy_student().train(), rows()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    found = probabilities(student, x)
    assert student.training
    assert all(torch.equal(before[key], value) for key, value in student.state_dict().items())
    torch.testing.assert_close(found, student.eval()(x).softmax(1))
    torch.testing.assert_close(
        probabilities(student, (x * 255).to(torch.uint8)).sum(1), torch.ones(50)
    )


def test_k_centre_takes_the_farthest_each_time() -> None:
    points = torch.tensor([0.0, 1, 5, 9, 10]).view(-1, 1)
    assert k_centre(points, torch.tensor([[0.0]]), 3).tolist() == [4, 2, 1]
    assert k_centre(points, points[:0], 2).tolist() == [0, 4]


def test_k_centre_is_the_greedy_of_the_paper() -> None:
    rng = torch.Generator().manual_seed(1)
    points, centres = torch.rand(60, 3, generator=rng), torch.rand(1_100, 3, generator=rng)
    chosen: list[int] = []
    for _ in range(20):  # the definition, all pairs anew for each choice
        taken = torch.cat([centres, points[chosen]])
        gap = torch.cdist(points, taken).amin(1)
        gap[chosen] = -1
        chosen.append(int(gap.argmax()))
    assert k_centre(points, centres, 20).tolist() == chosen


def test_k_centre_never_takes_a_point_twice() -> None:
    twins = torch.ones(6, 2)
    assert sorted(k_centre(twins, twins[:1], 6).tolist()) == list(range(6))
    broken = torch.full((6, 2), torch.nan)
    assert sorted(k_centre(broken, twins, 6).tolist()) == list(range(6))


@pytest.mark.parametrize("chunk", [7, 512])
def test_distance_to_the_boundary_of_a_linear_student_is_exact(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_selection, "CHUNK", chunk)
    torch.manual_seed(0)
    linear = nn.Linear(64, 4)
    x = rows()
    f, w = linear(x.flatten(1)), linear.weight
    top = f.argmax(1)
    every = (f.gather(1, top.view(-1, 1)) - f) / (w[top].unsqueeze(1) - w).norm(dim=2)
    want = every.scatter(1, top.view(-1, 1), float("inf")).amin(1)
    student = nn.Sequential(nn.Flatten(), linear)
    for steps in (1, 3):  # a row that has crossed stays
        found = boundary_distance(student, x, steps=steps, rivals=3)
        torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-5)
    assert all(p.grad is None for p in student.parameters())


def test_more_steps_of_deepfool_reach_the_boundary_of_a_curved_student() -> None:
    class Parabola(nn.Module):
        """Class 1 where sum x^2 > 1: from outside the boundary is |x| - 1 away."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.ones(len(x)), x.flatten(1).pow(2).sum(1)], 1)

    x = rows()
    want = x.flatten(1).norm(dim=1) - 1
    one, many = (boundary_distance(Parabola(), x, steps=steps) for steps in (1, 7))
    assert (many / want - 1).abs().max() < 1.1 * OVERSHOOT
    assert (one / want).max() < 0.8


def test_a_constant_student_has_no_boundary() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    with torch.no_grad():
        flat[1].weight.zero_()  # type: ignore[operator]
    assert boundary_distance(flat, rows(3)).tolist() == [torch.inf] * 3


def test_gradient_of_the_entropy() -> None:
    student = toy_student().double().eval()
    x = rows(3).double().requires_grad_()
    p = student(x).softmax(1)
    (want,) = torch.autograd.grad(-(p * p.log()).sum(), x)
    torch.testing.assert_close(entropy_gradients(student, x.detach()), want.flatten(1))
