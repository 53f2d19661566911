import pytest
import torch

from clonecost.training import mixed_precision
from clonecost.training.mixed_precision import autocast_bfloat16, bfloat16_is_faster

CPU = torch.device("cpu")


@pytest.mark.parametrize("faster", [True, False])
def test_bfloat16_is_used_only_if_requested_and_faster(
    faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_precision, "bfloat16_is_faster", lambda: faster)
    for requested in (True, False):
        with autocast_bfloat16(CPU, requested):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if faster and requested else torch.float32)


def test_the_measurement_is_made_once_and_draws_no_random_numbers() -> None:
    state = torch.get_rng_state()
    bfloat16_is_faster.cache_clear()
    first = bfloat16_is_faster()
    assert bfloat16_is_faster() is first
    assert bfloat16_is_faster.cache_info().misses == 1
    assert torch.equal(torch.get_rng_state(), state)
