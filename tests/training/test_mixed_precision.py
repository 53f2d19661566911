import pytest
import torch

from clonecost.training import mixed_precision
from clonecost.training.mixed_precision import bfloat16_pays, half

CPU = torch.device("cpu")


@pytest.mark.parametrize("pays", [True, False])
def test_bfloat16_is_used_only_if_it_is_wanted_and_pays(
    pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_precision, "bfloat16_pays", lambda: pays)
    for wanted in (True, False):
        with half(CPU, wanted):
            found = torch.ones(2, 2) @ torch.ones(2, 2)
        assert found.dtype == (torch.bfloat16 if pays and wanted else torch.float32)


def test_the_measurement_is_made_once_and_leaves_no_trace() -> None:
    state = torch.get_rng_state()
    bfloat16_pays.cache_clear()
    first = bfloat16_pays()
    assert bfloat16_pays() is first
    assert bfloat16_pays.cache_info().misses == 1
    assert torch.equal(torch.get_rng_state(), state)
