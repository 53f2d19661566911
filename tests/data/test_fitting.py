import pytest
import torch

from clonecost.data import fit, overlap
from clonecost.errors import DataError
from clonecost.types import LabelledInputs


def data(*shape: int, seed: int = 0) -> LabelledInputs:
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    return LabelledInputs(inputs, torch.arange(shape[0]))


def test_rgb_becomes_grey_by_luma() -> None:
    primaries = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [7, 7, 7]])
    inputs = primaries.to(torch.uint8).view(5, 3, 1, 1).expand(-1, -1, 4, 4)
    grey = fit(LabelledInputs(inputs, torch.zeros(5)), (1, 4, 4))
    assert grey.inputs[:, 0, 0, 0].tolist() == [54, 182, 18, 255, 7]
    assert grey.inputs.shape == (5, 1, 4, 4)


def test_grey_becomes_rgb_by_repeating() -> None:
    grey = data(3, 1, 5, 5)
    colour = fit(grey, (3, 5, 5))
    assert colour.inputs.dtype == torch.uint8
    assert torch.equal(colour.inputs, grey.inputs.expand(-1, 3, -1, -1))
    assert torch.equal(fit(colour, (1, 5, 5)).inputs, grey.inputs)


def test_shrinking_is_antialiased() -> None:
    """Stripes average out; without antialiasing these fall between the sampled pixels."""
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., ::4] = 255
    small = fit(LabelledInputs(stripes, torch.zeros(1)), (1, 16, 16)).inputs.float()
    assert (small[..., 2:-2] - 255 / 4).abs().max() < 2


def test_a_constant_image_stays_so_at_any_size() -> None:
    inputs = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    for shape in ((1, 3, 5), (1, 21, 8), (3, 32, 32)):
        fitted = fit(LabelledInputs(inputs, torch.arange(256)), shape)
        assert torch.equal(fitted.inputs, inputs[..., :1, :1].expand(-1, *shape))


def test_chunks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(data(50, 3, 12, 12), (1, 8, 8)).inputs
    monkeypatch.setattr("clonecost.data.fitting.CHUNK", 1000)
    assert torch.equal(fit(data(50, 3, 12, 12), (1, 8, 8)).inputs, whole)


def test_floats_become_bytes_and_a_fitting_set_is_untouched() -> None:
    fitting = data(4, 3, 8, 8)
    assert fit(fitting, (3, 8, 8)) is fitting
    floats = LabelledInputs(fitting.inputs / 255, fitting.labels, ("a",), "name")
    back = fit(floats, (3, 8, 8))
    assert torch.equal(back.inputs, fitting.inputs)
    assert (back.classes, back.name) == (("a",), "name")
    assert fit(fitting.take(slice(0, 0)), (1, 4, 4)).inputs.shape == (0, 1, 4, 4)


@pytest.mark.parametrize("shape", [(3, 8), (3, 0, 8), (2, 8, 8), (64,)])
def test_an_impossible_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"cannot be fitted to|got 3, want 2"):
        fit(data(2, 3, 8, 8), shape)


def test_overlap_counts_rows_of_the_test_set() -> None:
    test, proxy = data(20, 3, 8, 8), data(30, 3, 8, 8, seed=1)
    assert overlap(proxy, test) == 0
    proxy.inputs[4], proxy.inputs[9], proxy.inputs[10] = test.inputs[[2, 2, 7]]
    assert overlap(proxy, test) == 2
    test.inputs[3] = test.inputs[2]  # a duplicate within the test set is two leaked rows
    assert overlap(proxy, test) == 3


def test_overlap_sees_a_grey_copy_of_a_colour_proxy() -> None:
    colour = data(10, 3, 16, 16)
    assert overlap(colour, fit(colour, (1, 8, 8))) == 10
