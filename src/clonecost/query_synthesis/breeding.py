"""Which bought rows become parents of the next images.

All functions take the answers to the bought rows, (n, K) on the simplex (or (n, K) chances of
several labels), and send no query.
"""

import torch
from torch import Tensor

from clonecost.networks.per_label import decisions

LEAST = 0.02  # least share of a round's rows for every class
SURE = 3  # exponent of the victim's top probability in the weight of a parent
OF_ONE_CLASS = 0.5  # share of the pairs whose parents have the same top class


def lacks(answers: Tensor, size: int) -> Tensor:
    """(K,) rows that every class lacks if `size` more rows shall leave all classes equally large.

    A class that has enough lacks `LEAST` of the round all the same.

    Example:
        >>> lacks(torch.eye(2)[[0, 0, 0, 1]], 4)
        tensor([1., 3.])
    """
    classes = answers.shape[1]
    sizes = answers.argmax(1).bincount(minlength=classes)
    return ((len(answers) + size) / classes - sizes).clamp_min(LEAST * size)


def rarity(answers: Tensor, *, several: bool) -> Tensor:
    """(n,) weights of parents: 1 / (rows of the class); their sum over several labels.

    Example:
        >>> rarity(torch.eye(2)[[0, 0, 1]], several=False)
        tensor([0.5000, 0.5000, 1.0000])
    """
    if several:
        made = decisions(answers, several=True).float()
        return made @ made.sum(0).clamp_min(1).reciprocal()
    labels = answers.argmax(1)
    return labels.bincount(minlength=answers.shape[1]).reciprocal()[labels]


def any_pairs(
    answers: Tensor, count: int, rng: torch.Generator, *, several: bool
) -> tuple[Tensor, Tensor]:
    """Indices (count,) of first and second parents, drawn alike: all classes equally often."""
    weights = rarity(answers, several=several)
    first, second = (torch.multinomial(weights, count, True, generator=rng) for _ in range(2))
    return first, second


def pairs_for_lacking_classes(
    answers: Tensor, count: int, size: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Indices (count,) of first and second parents for a round of `size` rows.

    A class is drawn in proportion to what it lacks, within it rows of which the victim is sure
    more often. `OF_ONE_CLASS` of the pairs have the same class, so that their children keep it.
    """
    wanted = lacks(answers, size)
    labels = answers.argmax(1)
    sure = answers.amax(1) ** SURE
    of_class = torch.zeros_like(wanted).index_add(0, labels, sure).clamp_min(1e-9)
    weights = wanted[labels] * sure / of_class[labels]
    first, second = (torch.multinomial(weights, count, True, generator=rng) for _ in range(2))
    order, sizes = labels.argsort(stable=True), labels.bincount(minlength=len(wanted))
    place = torch.rand(count, generator=rng, device=rng.device) * sizes[labels[first]]
    place = place.long().minimum(sizes[labels[first]] - 1)
    mates = order[(sizes.cumsum(0) - sizes)[labels[first]] + place]
    alike = torch.rand(count, generator=rng, device=rng.device) < OF_ONE_CLASS
    return first, torch.where(alike, mates, second)
