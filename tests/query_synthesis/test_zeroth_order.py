"""The estimator against a linear function, whose gradient is known."""

import pytest
import torch
from torch import nn

from clonecost.errors import PrecisionError
from clonecost.oracle.answer_policy import to_eight_bits
from clonecost.query_synthesis.zeroth_order import forward_difference, full_float32
from clonecost.training.losses import logit_l1, recover_logits


def linear(slope: torch.Tensor, calls: list[int] | None = None):  # type: ignore[no-untyped-def]
    def f(x: torch.Tensor) -> torch.Tensor:
        if calls is not None:
            calls.append(len(x))
        return (x.view(-1, *slope.shape) * slope).flatten(2).sum(2).flatten()

    return f


def test_returns_the_gradient_of_a_linear_function_at_the_right_scale() -> None:
    rng = torch.Generator().manual_seed(0)
    slope = torch.randn(3, 1, 4, 4, generator=rng)
    calls: list[int] = []
    x = torch.zeros(3, 1, 4, 4)
    got = forward_difference(linear(slope, calls), x, directions=20_000, step=1e-2, rng=rng)
    torch.testing.assert_close(got, slope, atol=0.15, rtol=0.05)
    assert calls == [3 * 20_001]  # its queries, in one call


def test_without_the_factor_d_it_is_d_times_smaller() -> None:
    slope, x = torch.randn(3, 1, 4, 4), torch.zeros(3, 1, 4, 4)
    one, two = (
        forward_difference(
            linear(slope), x, directions=7, step=1e-2, rng=torch.Generator().manual_seed(0),
            scale_by_dim=scaled,
        )
        for scaled in (True, False)
    )  # fmt: skip
    torch.testing.assert_close(one, two * 16)


@pytest.mark.parametrize(("directions", "cosine"), [(1, 0.01440), (10, 0.05565)])
def test_cosine_in_3072_dimensions(directions: int, cosine: float) -> None:
    """E[cos] = E[chi_m] / sqrt(d): one direction gives a small cosine."""
    rng = torch.Generator().manual_seed(1)
    n = 1000
    slope = torch.randn(n, 3072, generator=rng)
    x = torch.zeros(n, 3072)
    step = 1e-1  # exact for a linear f; a larger step only spares rounding
    got = forward_difference(linear(slope), x, directions=directions, step=step, rng=rng)
    found = nn.functional.cosine_similarity(got, slope).mean().item()
    assert abs(found - cosine) < 0.0012


def test_float32_is_fine_enough_and_coarser_arithmetic_is_refused() -> None:
    """At step 1e-3 float32 correlates with float64, 8 bits do not."""
    torch.manual_seed(0)
    layers = [nn.Linear(3072, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    victim, student = (
        nn.Sequential(*layers),
        nn.Sequential(nn.Linear(3072, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    x = torch.randn(200, 3072)

    def quotients(kind: torch.dtype, *, eight_bits: bool = False) -> torch.Tensor:
        v, s = victim.to(kind), student.to(kind)

        def f(raw: torch.Tensor) -> torch.Tensor:
            t = raw.tanh()
            sent = to_eight_bits((t + 1) / 2) * 2 - 1 if eight_bits else t
            return logit_l1(s(t), recover_logits(v(sent).softmax(1)))

        with torch.no_grad():
            u = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(kind)
            u /= u.norm(dim=1, keepdim=True)
            return (f(x.to(kind) + 1e-3 * u) - f(x.to(kind))) / 1e-3

    exact, single = quotients(torch.float64), quotients(torch.float32).double()
    coarse = quotients(torch.float32, eight_bits=True).double()
    assert torch.corrcoef(torch.stack([exact, single]))[0, 1] > 0.99
    assert torch.corrcoef(torch.stack([exact, coarse]))[0, 1].abs() < 0.5


def test_refuses_autocast_and_half_precision() -> None:
    rng = torch.Generator()
    x = torch.zeros(2, 16)

    def estimate(x: torch.Tensor) -> torch.Tensor:
        return forward_difference(lambda p: p.sum(1), x, directions=1, step=1e-3, rng=rng)

    with (
        pytest.raises(PrecisionError, match="autocast is on"),
        torch.autocast("cpu", torch.bfloat16),
    ):
        estimate(x)
    with pytest.raises(PrecisionError, match="bfloat16"):
        estimate(x.bfloat16())


def test_full_float32_switches_tf32_off_and_back() -> None:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with full_float32():
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
