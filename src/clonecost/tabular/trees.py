"""Sums of regression trees as a torch module, and their conversion from scikit-learn's boosting."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CHUNK = 1 << 22  # nodes looked up at a time: 32 MB


class TreeSum(nn.Module):
    """The sum of T trees for each of O outputs: (n, w) float64, NaN where missing -> (n, O).

    All trees are walked together, a level at a time. A leaf is its own child.

    Args:
        feature, left, right: (N,) int64 of each node; children are places among all N nodes.
        threshold, value: (N,) float64; a row goes left if its value is at most the threshold.
        missing_left: (N,) bool: where a row without the value goes.
        roots: (T,) the place of each tree's root.
        output: (T,) the output that each tree adds to.
        base: (O,) what the trees are added to.
        depth: the most levels below a root.
    """

    feature: Tensor
    left: Tensor
    right: Tensor
    threshold: Tensor
    value: Tensor
    missing_left: Tensor
    roots: Tensor
    output: Tensor
    base: Tensor

    def __init__(
        self, *, feature: Tensor, left: Tensor, right: Tensor, threshold: Tensor, value: Tensor,
        missing_left: Tensor, roots: Tensor, output: Tensor, base: Tensor, depth: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.depth = depth
        for name, part in (
            ("feature", feature), ("left", left), ("right", right), ("threshold", threshold),
            ("value", value), ("missing_left", missing_left), ("roots", roots),
            ("output", output), ("base", base),
        ):  # fmt: skip
            self.register_buffer(name, part)

    def forward(self, columns: Tensor) -> Tensor:
        size = max(1, CHUNK // max(1, len(self.roots)))
        return torch.cat([self._sum(part) for part in columns.split(size)])

    def _sum(self, x: Tensor) -> Tensor:
        node = self.roots.expand(len(x), -1)  # (n, T)
        for _ in range(self.depth):
            value = x.gather(1, self.feature[node])
            missing = value.isnan()
            left = torch.where(missing, self.missing_left[node], value <= self.threshold[node])
            node = torch.where(left, self.left[node], self.right[node])
        total = self.base.repeat(len(x), 1)
        return total.index_add_(1, self.output, self.value[node])


def tree_sum(models: Sequence[Any]) -> TreeSum:
    """The module of fitted `HistGradientBoosting` models, whose outputs stand side by side.

    A regressor has one output, a classifier of two classes the logit of the second one, and a
    classifier of more a score for each. They have been fitted without `categorical_features`.

    Example:
        >>> model = HistGradientBoostingRegressor(max_iter=5).fit(x, y)
        >>> tree_sum([model])(torch.from_numpy(x))[:, 0]  # model.predict(x)
    """
    nodes: list[Any] = []
    roots, output, base, first, before = [], [], [], 0, 0
    for model in models:
        start = np.asarray(model._baseline_prediction).reshape(-1)
        for iteration in model._predictors:
            for k, tree in enumerate(iteration):
                roots.append(first)
                output.append(before + k)
                nodes.append(tree.nodes)
                first += len(tree.nodes)
        base.append(start)
        before += len(start)
    every = np.concatenate(nodes)
    of_tree = np.repeat(roots, [len(one) for one in nodes])
    leaf, own = every["is_leaf"].astype(bool), np.arange(len(every))

    def child(side: str) -> Tensor:
        return torch.from_numpy(np.where(leaf, own, every[side].astype(np.int64) + of_tree))

    return TreeSum(
        feature=torch.from_numpy(np.where(leaf, 0, every["feature_idx"])),
        left=child("left"), right=child("right"),
        threshold=torch.from_numpy(np.where(leaf, np.inf, every["num_threshold"])),
        value=torch.from_numpy(np.where(leaf, every["value"], 0.0)),
        missing_left=torch.from_numpy(every["missing_go_to_left"].astype(bool)),
        roots=torch.tensor(roots), output=torch.tensor(output),
        base=torch.from_numpy(np.concatenate(base)), depth=int(every["depth"].max()),
    )  # fmt: skip
