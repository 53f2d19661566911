import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.nn.functional import interpolate

from clonecost.generators.frechet import frechet_pixels_8x8, frechet_scores
from clonecost.types import LabelledInputs


def images(rows: int, seed: int, channels: int = 1, side: int = 16) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(rows, channels, side, side, generator=rng)


def test_it_is_the_formula_with_a_matrix_root() -> None:
    one, other = images(500, 0), images(400, 1).square()
    a, b = (
        x.double().view(len(x), 8, 2, 8, 2).mean((2, 4)).flatten(1).numpy() for x in (one, other)
    )
    s, t = np.cov(a.T), np.cov(b.T)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert frechet_pixels_8x8(one, other) == pytest.approx(wanted, rel=1e-4)


def test_a_shift_gives_its_square_and_equal_images_give_zero() -> None:
    one = images(300, 0, channels=3) / 2
    assert frechet_pixels_8x8(one, one) == pytest.approx(0, abs=1e-6)
    assert frechet_pixels_8x8(one, one + 0.25) == pytest.approx(3 * 64 * 0.25**2, rel=1e-3)


def test_it_ignores_detail_finer_than_8x8() -> None:
    coarse = interpolate(images(50, 0, side=8), scale_factor=2.0)
    stripes = torch.tensor([0.1, -0.1]).repeat(8)
    assert frechet_pixels_8x8(coarse, coarse + stripes) == pytest.approx(0, abs=1e-5)


def test_few_rows_and_blank_images_give_finite_distances() -> None:
    assert frechet_pixels_8x8(images(3, 0), images(4, 1)) > 0
    assert frechet_pixels_8x8(torch.zeros(3, 1, 8, 8), torch.zeros(4, 1, 8, 8)) == 0


def test_the_baseline_has_as_many_rows_as_the_samples() -> None:
    known, held_out = (LabelledInputs(images(n, n), torch.zeros(n)) for n in (900, 100))
    found = frechet_scores(known, held_out, images(128, 5))
    real = held_out.inputs
    assert found == {
        "frechet_pixels_8x8": frechet_pixels_8x8(real, images(128, 5)[:100]),
        "frechet_pixels_8x8_of_real_rows": frechet_pixels_8x8(real, known.inputs[:100]),
    }
    few, more = found["frechet_pixels_8x8_of_real_rows"], frechet_pixels_8x8(real, known.inputs)
    assert few > more  # few rows make the distance too large
