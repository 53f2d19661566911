"""Solve for a linear model by the log-ratios of its answers: linear equations, exactly."""

from collections.abc import Sequence

import scipy.linalg
import torch
from torch import Tensor

from clonecost.tabular.models import LinearModel
from clonecost.types import Feature


@torch.no_grad()
def linear_by_log_ratios(
    features: Sequence[Feature], rows: Tensor, answers: Tensor, *, above: float,
    weighted: bool = False, determined: bool = True,
) -> LinearModel | None:  # fmt: skip
    """Softmax regression by least squares over log p_k - log p_j = (w_k - w_j) x + b_k - b_j.

    j is the predicted class of a row and k each other class. There is one equation for each
    probability above `above`; zeros have no logarithm.

    Args:
        features: the d features of the table.
        rows: (n, d) as sent.
        answers: (n, K) probabilities.
        above: the smallest probability with enough digits.
        weighted: weight equations by p_k p_j, because an error of p changes its logarithm by 1/p
            times as much: right for rounded answers.
        determined: refuse equations that do not determine the model; else the solution of the
            smallest weights is returned.

    Returns:
        The model; None if the equations do not determine it.

    Example:
        >>> age = (Feature(name="age", low=0, high=2),)
        >>> rows = torch.tensor([[0.0], [2.0]])
        >>> answers = torch.tensor([[0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
        >>> linear_by_log_ratios(age, rows, answers, above=0.0)(rows).softmax(1)
        tensor([[0.5000, 0.5000],
                [0.1000, 0.9000]], dtype=torch.float64)
    """
    classes = answers.shape[1]
    model = LinearModel(features, classes)
    x, p = model.extract(rows.cpu()), answers.double().cpu()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)  # (n, w + 1)
    top = p.argmax(1)
    row, k = ((p > above) & (torch.arange(classes) != top[:, None])).nonzero(as_tuple=True)
    j, e = top[row], torch.arange(len(row))
    y = p[row, k].log() - p[row, j].log()
    a = torch.zeros(len(row), classes, x.shape[1], dtype=x.dtype)
    a[e, k], a[e, j] = x[row], -x[row]
    a = a.flatten(1)
    if weighted:
        weight = p[row, k] * p[row, j]
        a, y = weight[:, None] * a, weight * y
    # a vector added to all classes changes nothing, nor does a number moved from the categories of
    # a feature to the bias
    rank = (classes - 1) * (x.shape[1] - sum(bool(feature.categories) for feature in features))
    if (determined and len(a) < rank) or not len(a):
        return None
    theta, _, found, _ = scipy.linalg.lstsq(a.numpy(), y.numpy())
    if determined and found < rank:
        return None
    theta = torch.from_numpy(theta).view(classes, -1)
    model.linear.weight.copy_(theta[:, :-1])
    model.linear.bias.copy_(theta[:, -1])
    return model.to(rows.device)
