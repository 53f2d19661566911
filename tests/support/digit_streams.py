"""Streams of accounts on scikit-learn's digits, with a linear victim: honest rows and attacks."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from clonecost.detectors.base import Stream

Rows = NDArray[np.float32]
CLASSES = 10


@cache
def victim() -> tuple[Any, Rows, Rows]:
    """A logistic regression, its 600 training rows and 1,197 test rows, (n, 64) in [0, 1]."""
    rows, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, labels = (rows[order] / 16).astype(np.float32), labels[order]
    return LogisticRegression(max_iter=300).fit(rows[:600], labels[:600]), rows[:600], rows[600:]


def stream(rows: Rows, seed: int = 1) -> Stream:
    """The rows with the victim's answers; equal rows have equal digests."""
    model = victim()[0]
    answers = model.predict_proba(rows).astype(np.float32)
    _, number = np.unique(rows, axis=0, return_inverse=True)
    digests = np.zeros((len(rows), 2), np.uint64)
    digests[:, 0], digests[:, 1] = number.ravel(), seed
    return Stream(
        digests=digests.view("V16").ravel(), top=answers.argmax(1), classes=CLASSES,
        confidence=answers.max(1), answers=answers, inputs=rows.reshape(-1, 1, 8, 8),
    )  # fmt: skip


def honest(count: int = 1_197) -> Stream:
    return stream(victim()[2][:count])


def uniform_noise(count: int) -> Stream:
    return stream(np.random.default_rng(3).random((count, 64), np.float32))


def shuffled_pixels(count: int) -> Stream:
    """A pool of other images: honest rows with their pixels in another order, each its own."""
    rng = np.random.default_rng(4)
    return stream(np.stack([row[rng.permutation(64)] for row in victim()[2][:count]]))


def jbda(count: int, seeds: int = 25, step: float = 0.1) -> Stream:
    """Jacobian-based augmentation: every round doubles the rows along the substitute's signs."""
    model, _, test = victim()
    rows = test[:seeds]
    while len(rows) < count:
        labels = model.predict(rows)
        substitute = LogisticRegression(max_iter=200).fit(rows, labels)
        signs = np.sign(substitute.coef_[np.searchsorted(substitute.classes_, labels)])
        rows = np.concatenate([rows, np.clip(rows + step * signs, 0, 1)]).astype(np.float32)
    return stream(rows[:count])


def in_distribution(count: int) -> Stream:
    """An attacker who owns rows of the victim's own kind."""
    return stream(victim()[1][:count])


ATTACKS: dict[str, Callable[[int], Stream]] = {
    "uniform_noise": uniform_noise,
    "shuffled_pixels": shuffled_pixels,
    "jbda": jbda,
    "in_distribution": in_distribution,
}
