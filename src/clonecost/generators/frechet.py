"""How far generated images are from real ones, in a figure that needs no trained network.

    d^2 = |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))    (Dowson, Landau 1982)

is the Frechet distance between two Gaussians. FID (Heusel et al. 2017, 1706.08500) fits them to
2,048 features of an Inception network trained on ImageNet; here they are fitted to the images
themselves, averaged to 8x8. So this is **not FID**: it sees brightness, contrast, colours and large
shapes, and is blind to everything finer.
"""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from clonecost.types import LabelledInputs

SIDE = 8
MEASURED = 5_000  # rows at most


def likeness(known: LabelledInputs, held_out: LabelledInputs, samples: Tensor) -> dict[str, float]:
    """The figures of a card: how far samples are from held-out rows, and the floor below them.

    The floor is the same distance for as many rows that were trained on: what a generator would
    get that does nothing but repeat them.
    """
    rows = slice(min(MEASURED, len(held_out), len(known), len(samples)))
    real = held_out.rows(rows)
    return {
        "frechet_pixels_8x8": frechet_pixels_8x8(real, samples[rows]),
        "frechet_pixels_8x8_of_real_rows": frechet_pixels_8x8(real, known.rows(rows)),
    }


def frechet_pixels_8x8(images: Tensor, others: Tensor) -> float:
    """d^2 between two sets of images, (n, C, H, W) and (m, C, H, W) pixels in [0, 1].

    It is too large by what few rows bring about: compare figures of equally many rows only.
    """
    (mean, spread), (mean_, spread_) = _gaussian(images), _gaussian(others)
    root = _root(spread)
    # tr (S S')^(1/2) by a symmetric matrix with the same eigenvalues, that may well be singular
    crossed = torch.linalg.eigvalsh(root @ spread_ @ root).clamp(min=0).sqrt().sum()
    squared = (mean - mean_).square().sum() + spread.trace() + spread_.trace() - 2 * crossed
    return max(0.0, squared.item())


def _gaussian(images: Tensor) -> tuple[Tensor, Tensor]:
    rows = adaptive_avg_pool2d(images, SIDE).flatten(1).double().cpu()
    return rows.mean(0), rows.T.cov()


def _root(spread: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(spread)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
