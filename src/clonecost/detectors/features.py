"""Features: within each class, the answers are spread otherwise than on benign rows.

The Fréchet distance between Gaussians (Dowson, Landau 1982), per predicted class and weighted by
the class's share, as in D-ADD (arXiv 2503.12497), of the answers' centred log-probabilities:

    S = sum_c n_c / n [ |m_c - M_c|^2 + tr(S_c + T_c - 2 (S_c T_c)^(1/2)) ] / tr T

m, S of the account and M, T of benign rows. S_c is shrunk towards T_c; a class with few rows
counts by its mean only. What n_c benign rows would show by chance, tr T_c / n_c, is subtracted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import Declaration, Numbers, Stream, Watch, looks


@dataclass(frozen=True)
class _Moments:
    """Means (..., d) and covariances (..., d, d)."""

    mean: Numbers
    spread: Numbers


@dataclass(frozen=True, kw_only=True)
class Features:
    """The Fréchet distance between an account's answers and benign ones, class by class.

    Example:
        >>> Features(dimensions=8).dimensions
        8
    """

    dimensions: int = 12  # principal directions of the benign log-probabilities, at most K - 1
    floor: float = 1e-4  # below which a probability counts as this much
    shrink: float = 2.0  # benign rows mixed into each covariance, in multiples of the dimensions

    declares: ClassVar = Declaration(reads="answers", keeps_state=True)

    def cannot(self, stream: Stream) -> str:
        if stream.answers is None:
            return "it compares probabilities, and the answers show none"
        return ""

    def learn(self, reference: Stream, accounts: Iterable[Stream]) -> Watch:
        logs = self._logs(reference)
        centre = logs.mean(0)
        width = min(self.dimensions, logs.shape[1] - 1, len(logs))
        axes = np.linalg.svd(logs - centre, full_matrices=False)[2][:width]
        known = self._by_class((logs - centre) @ axes.T, reference.top, reference.classes)
        root = roots(known.spread)
        scale = max(float(((logs - centre) @ axes.T).var(0).sum()), 1e-12)

        def watch(stream: Stream) -> Numbers:
            rows = (self._logs(stream) - centre) @ axes.T
            return self._distance(rows, stream, known, root) / scale

        return watch

    def _logs(self, stream: Stream) -> Numbers:
        assert stream.answers is not None
        logs = np.log(np.maximum(stream.answers.astype(np.float64), self.floor))
        return logs - logs.mean(1, keepdims=True)

    def _by_class(self, rows: Numbers, top: NDArray[np.int64], classes: int) -> _Moments:
        """Benign moments of each class, (K, d) and (K, d, d); of few rows, mixed with all rows'."""
        everything = _Moments(rows.mean(0), np.cov(rows, rowvar=False).reshape(rows.shape[1], -1))
        count, total, square = _sums(rows, top, classes)
        weight = self.shrink * rows.shape[1]
        n = count[:, None]
        mean = (total + everything.mean) / (n + 1)  # one row more, so that no class is empty
        own = square / np.maximum(n, 1)[..., None]
        own_mean = total / np.maximum(n, 1)
        own = own - own_mean[:, :, None] * own_mean[:, None]
        n = n[..., None]
        return _Moments(mean, (n * own + weight * everything.spread) / (n + weight))

    def _distance(self, rows: Numbers, stream: Stream, known: _Moments, root: Numbers) -> Numbers:
        at, width, classes = looks(len(stream)), rows.shape[1], stream.classes
        segment = np.searchsorted(at, np.arange(len(stream)), side="right")
        inside = segment < len(at)
        key = segment[inside] * classes + stream.top[inside]
        count, total, square = (
            part.reshape(len(at), classes, *part.shape[1:]).cumsum(0)
            for part in _sums(rows[inside], key, len(at) * classes)
        )
        n = np.maximum(count, 1.0)
        mean = total / n[..., None]
        found = ((mean - known.mean) ** 2).sum(-1)
        noise = np.trace(known.spread, axis1=-2, axis2=-1) / n
        many = count >= 2 * width
        look, label = np.nonzero(many)
        own = square[many] / n[many][:, None, None]
        own = own - mean[many][:, :, None] * mean[many][:, None]
        mixed = self.shrink * width
        weight = (n[many] / (n[many] + mixed))[:, None, None]
        own = weight * own + (1.0 - weight) * known.spread[label]
        found[look, label] += spread_part(own, known.spread[label], root[label])
        share = count / np.maximum(at, 1)[:, None]
        return (share * (found - noise)).sum(1)


def frechet(mean: Numbers, spread: Numbers, mean_: Numbers, spread_: Numbers) -> float:
    """The squared Fréchet distance of two Gaussians: means (d,), covariances (d, d).

    Example:
        >>> round(frechet(np.zeros(1), np.eye(1), np.ones(1), 4 * np.eye(1)), 6)
        2.0
    """
    part = spread_part(spread[None], spread_[None], roots(spread_[None]))
    return float(((mean - mean_) ** 2).sum() + part[0])


def spread_part(spread: Numbers, spread_: Numbers, root: Numbers) -> Numbers:
    """tr(S + T - 2 (S T)^(1/2)) of each pair, (m, d, d); `root` are the roots of `spread_`."""
    crossed = root @ spread @ root  # symmetric, with the eigenvalues of S T
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(crossed), 0.0)).sum(-1)
    traces = np.trace(spread, axis1=-2, axis2=-1) + np.trace(spread_, axis1=-2, axis2=-1)
    return traces - 2.0 * values


def roots(spread: Numbers) -> Numbers:
    """The symmetric square roots of covariances, (m, d, d)."""
    values, vectors = np.linalg.eigh(spread)
    return (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ vectors.swapaxes(-1, -2)


def _sums(rows: Numbers, key: NDArray[np.int64], keys: int) -> tuple[Numbers, Numbers, Numbers]:
    """Rows (n, d) by key: how many, their sums (keys, d), sums of x xT (keys, d, d)."""
    width = rows.shape[1]
    count = np.bincount(key, minlength=keys).astype(np.float64)
    order = np.argsort(key, kind="stable")
    present = np.flatnonzero(count)
    total, square = np.zeros((keys, width)), np.zeros((keys, width, width))
    if len(present):
        begins = np.concatenate([[0], count[present].cumsum()[:-1]]).astype(np.int64)
        ordered = rows[order]
        total[present] = np.add.reduceat(ordered, begins)
        square[present] = np.add.reduceat(ordered[:, :, None] * ordered[:, None], begins)
    return count, total, square
