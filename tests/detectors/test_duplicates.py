"""Duplicates: equal digests, nearly equal images, and nothing else."""

import numpy as np
from tests.support.digit_streams import honest, jbda, stream, victim

from clonecost.detectors.base import looks, row_keys
from clonecost.detectors.duplicates import Duplicates, averages_8x8, repeats


def test_a_row_repeats_an_earlier_one() -> None:
    digests = row_keys(b"".join(bytes([value]) * 16 for value in (3, 7, 3, 200, 7, 3)))
    assert repeats(digests).tolist() == [False, False, True, False, True, True]


def test_the_share_of_repeats_at_each_look() -> None:
    rows = honest(100)
    twice = rows.take(np.arange(200) // 2)
    found = Duplicates(bits=0, change=0.0).learn(rows, [])(twice)
    np.testing.assert_allclose(found, 0.5, atol=0.05)
    at = looks(200)
    assert found[at == 100] == 0.5


def test_small_changes_are_found_with_inputs_only() -> None:
    test = victim()[2][:100]
    noise = np.random.default_rng(0).uniform(-1 / 255, 1 / 255, test.shape)
    pairs = np.stack([test, np.clip(test + noise, 0, 1)], 1).reshape(200, 64).astype(np.float32)
    watch = Duplicates().learn(honest(50), [])
    assert watch(stream(pairs))[-1] > 0.4
    kept = stream(pairs)
    without = type(kept)(digests=kept.digests, top=kept.top, classes=10)
    assert watch(without)[-1] == 0


def test_jbda_is_full_of_near_duplicates_and_honest_rows_are_not() -> None:
    watch = Duplicates().learn(honest(50), [])
    assert watch(honest(400))[-1] < 0.02
    assert watch(jbda(400))[-1] > 0.3


def test_averages_keep_the_mean_of_images_of_any_size() -> None:
    images = np.random.default_rng(0).random((2, 3, 28, 21)).astype(np.float32)
    averages = averages_8x8(images)
    assert averages.shape == (2, 64)
    np.testing.assert_allclose(
        averages_8x8(np.full((1, 1, 30, 9), 0.25, np.float32)), 0.25, rtol=1e-6
    )
    first = images[0].mean(0)[:3, :2].mean()  # 28 rows in 8 parts: 0 to 3, 3 to 7, ...
    assert abs(averages[0, 0] - first) < 1e-6
    assert averages_8x8(images[:, :, :4, :5]).shape == (2, 20)
