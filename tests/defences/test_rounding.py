import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clonecost.defences.rounding import Rounding
from clonecost.errors import SpecError


def rounded(rows: list[list[float]], decimals: int) -> Tensor:
    return Rounding(decimals=decimals)(lambda _: torch.tensor(rows))(torch.rand(1))


def test_known_answers() -> None:
    torch.testing.assert_close(rounded([[0.626, 0.374]], 1), torch.tensor([[0.6, 0.4]]))
    torch.testing.assert_close(rounded([[0.626, 0.374]], 2), torch.tensor([[0.63, 0.37]]))
    # 0.3 + 0.3 + 0.3 would be a tie: the top class keeps half a step more
    torch.testing.assert_close(
        rounded([[0.33, 0.34, 0.33]], 1), torch.tensor([[0.30, 0.35, 0.30]]) / 0.95
    )
    # every entry rounds to 0: only the top class remains
    torch.testing.assert_close(rounded([[0.3, 0.4, 0.3]], 0), torch.tensor([[0.0, 1.0, 0.0]]))


@settings(max_examples=60)
@given(decimals=st.integers(0, 6), classes=st.integers(2, 40), seed=st.integers(0, 2**31),
       sharp=st.floats(0, 20))  # fmt: skip
def test_the_top_class_stays_and_no_entry_below_half_a_step_does(
    decimals: int, classes: int, seed: int, sharp: float
) -> None:
    rng = torch.Generator().manual_seed(seed)
    probs = (sharp * torch.randn(8, classes, generator=rng)).softmax(1)
    found = Rounding(decimals=decimals)(lambda _: probs)(torch.rand(1))
    assert torch.equal(found.argmax(1), probs.argmax(1))
    assert found.isfinite().all()
    # no more than the entries that survive the rounding, and the top one
    assert ((found > 0).sum(1) <= (probs >= 0.49 * 10**-decimals).sum(1) + 1).all()


@pytest.mark.parametrize("decimals", [-1, 7])
def test_decimals_out_of_range(decimals: int) -> None:
    with pytest.raises(SpecError, match=f"decimals: got {decimals}, want 0 to 6"):
        Rounding(decimals=decimals)
