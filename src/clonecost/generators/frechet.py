"""Fréchet distance between generated and real images, without a trained network.

    d^2 = |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))    (Dowson, Landau 1982)

is the Frechet distance between two Gaussians. FID (Heusel et al. 2017, 1706.08500) fits them to
2,048 features of an Inception network trained on ImageNet; here they are fitted to the images
themselves, averaged to 8x8. It is therefore **not FID**: it measures brightness, contrast, colours
and large shapes, and no finer detail.
"""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from clonecost.types import LabelledInputs

SIDE = 8
MEASURED = 5_000  # rows at most


def frechet_scores(
    known: LabelledInputs, held_out: LabelledInputs, samples: Tensor
) -> dict[str, float]:
    """The distance of samples from held-out rows, and the same for as many training rows.

    The second is a baseline: the distance of a generator that only repeats its training rows.

    Args:
        known: the training rows.
        held_out: rows that the generator was not trained on.
        samples: (n, C, H, W) pixels in [0, 1]; at most 5,000 rows are measured.
    """
    rows = slice(min(MEASURED, len(held_out), len(known), len(samples)))
    real = held_out.rows(rows)
    return {
        "frechet_pixels_8x8": frechet_pixels_8x8(real, samples[rows]),
        "frechet_pixels_8x8_of_real_rows": frechet_pixels_8x8(real, known.rows(rows)),
    }


def frechet_pixels_8x8(images: Tensor, others: Tensor) -> float:
    """d^2 between two sets of images, (n, C, H, W) and (m, C, H, W) pixels in [0, 1].

    Few rows make it too large, so that only figures of equally many rows are comparable.

    Example:
        >>> images = torch.rand(50, 1, 8, 8)
        >>> frechet_pixels_8x8(images, images) < 1e-6
        True
    """
    (mean, spread), (mean_, spread_) = _gaussian(images), _gaussian(others)
    root = _root(spread)
    # tr (S S')^(1/2) from a symmetric matrix with the same eigenvalues; it may be singular
    crossed = torch.linalg.eigvalsh(root @ spread_ @ root).clamp(min=0).sqrt().sum()
    squared = (mean - mean_).square().sum() + spread.trace() + spread_.trace() - 2 * crossed
    return max(0.0, squared.item())


def _gaussian(images: Tensor) -> tuple[Tensor, Tensor]:
    rows = adaptive_avg_pool2d(images, SIDE).flatten(1).double().cpu()
    return rows.mean(0), rows.T.cov()


def _root(spread: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(spread)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
