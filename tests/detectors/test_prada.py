"""PRADA: its growing sets, its regime, and what it is known to miss."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.digit_streams import honest, jbda, shuffled_pixels, uniform_noise

from clonecost.detectors.base import NO_VERDICT, Stream, looks
from clonecost.detectors.prada import Prada, distances_to_growing_set


def one_by_one(rows: NDArray[np.float64]) -> list[float]:
    """The definition: one row after the other."""
    members, distances, threshold, found = [rows[0]], list[float](), 0.0, [np.nan]
    for row in rows[1:]:
        d = min(float(np.linalg.norm(row - member)) for member in members)
        found.append(d)
        if d > threshold:
            members.append(row)
            distances.append(d)
            threshold = max(threshold, float(np.mean(distances) - np.std(distances)))
    return found


@pytest.mark.parametrize("kind", ["normal", "clusters", "drift"])
def test_distances_are_those_of_one_row_after_the_other(kind: str) -> None:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((120, 6))
    if kind == "clusters":
        rows = rows * 0.05 + rng.standard_normal((6, 6))[rng.integers(0, 6, 120)]
    if kind == "drift":
        rows = rows.cumsum(0)
    np.testing.assert_allclose(distances_to_growing_set(rows), one_by_one(rows), atol=1e-6)


def statistic(stream: Stream) -> float:
    """W at the end of the stream."""
    return float(1 - Prada().learn(stream, [])(stream)[-1])


def in_one_class(rows: NDArray[np.float32]) -> Stream:
    digests = np.arange(2 * len(rows), dtype=np.uint64).view("V16")
    return Stream(digests=digests, top=np.zeros(len(rows), np.int64), classes=2, inputs=rows)


def test_pairs_of_rows_look_unlike_users_in_high_dimension() -> None:
    rng = np.random.default_rng(6)
    benign = rng.standard_normal((400, 300)).astype(np.float32)
    assert statistic(in_one_class(benign)) > 0.96
    pairs = np.stack([benign, benign + 1e-3 * rng.standard_normal(benign.shape)], 1)
    assert statistic(in_one_class(pairs.reshape(800, 300)[:400].astype(np.float32))) < 0.75


def test_jbda_on_digits_is_found_and_pools_and_noise_are_not() -> None:
    users = statistic(honest(400))
    assert users > 0.96
    watch = Prada().learn(honest(50), [])
    assert watch(jbda(300)).max() > 1 - 0.94
    for missed in (uniform_noise(400), shuffled_pixels(400)):
        assert watch(missed).max() < 1 - 0.94  # the known misses
    assert statistic(uniform_noise(400)) > users  # noise is more normal than honest rows


def test_videos_are_taken_for_an_attack() -> None:
    rng = np.random.default_rng(0)
    frames = honest(40).take(np.repeat(np.arange(40), 10))
    moved = frames.pixels() + 0.01 * rng.standard_normal((400, 1, 8, 8)).astype(np.float32)
    video = Stream(digests=frames.digests, top=frames.top, classes=10, inputs=moved)
    assert statistic(video) < 0.8


def test_there_is_no_verdict_on_a_hundred_distances_or_fewer() -> None:
    found = Prada().learn(honest(50), [])(honest(300))
    at = looks(300)
    assert (found[at <= 101] == NO_VERDICT).all()
    assert np.isfinite(found[at > 130]).all()
    assert (Prada(fewest=30).learn(honest(50), [])(honest(100))[-1]) > 0
