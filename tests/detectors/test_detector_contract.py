"""Every detector is a pure function of one account's rows, and says when it cannot judge."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from tests.support.digit_streams import honest, jbda, stream, uniform_noise, victim

from clonecost.detectors import DETECTORS
from clonecost.detectors.base import NO_VERDICT, Stream, Watch, looks, row_keys, settings_of

EVERY = list(DETECTORS)


@pytest.fixture(scope="module")
def watches() -> dict[str, Watch]:
    known = honest(600)
    return {
        name: DETECTORS[name]().learn(known.take(slice(300)), [known.take(slice(300, 600))])
        for name in EVERY
    }


def test_five_detectors_ship() -> None:
    assert {*EVERY} == {"confidence", "duplicates", "features", "labels", "prada"}


@pytest.mark.parametrize("name", EVERY)
def test_one_number_for_each_look_and_nothing_is_kept(name: str, watches: dict[str, Watch]) -> None:
    account, watch = honest().take(slice(600, 900)), watches[name]
    before = watch(account)
    assert before.shape == looks(300).shape
    assert not np.isnan(before).any()
    watch(uniform_noise(300))  # another account
    watch(jbda(300))
    np.testing.assert_array_equal(watch(account), before)


@pytest.mark.parametrize("name", EVERY)
def test_a_look_depends_on_the_rows_before_it_only(name: str, watches: dict[str, Watch]) -> None:
    account, watch = honest().take(slice(600, 900)), watches[name]
    early = looks(200)
    np.testing.assert_allclose(
        watch(account.take(slice(200))), watch(account)[: len(early)], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("name", EVERY)
def test_short_and_constant_accounts_get_numbers(name: str, watches: dict[str, Watch]) -> None:
    assert len(watches[name](honest(5))) == 0
    same = stream(np.repeat(victim()[2][:1], 150, axis=0))
    assert not np.isnan(watches[name](same)).any()


@pytest.mark.parametrize("name", EVERY)
def test_settings_are_frozen_and_declared(name: str) -> None:
    detector = DETECTORS[name]()
    assert settings_of(detector)
    with pytest.raises(FrozenInstanceError):
        setattr(detector, next(iter(settings_of(detector))), 1)


def only_labels(of: Stream) -> Stream:
    return replace(of, confidence=None, answers=None, inputs=None)


@pytest.mark.parametrize(
    ("name", "why"),
    [("confidence", "labels"), ("features", "probabilities"), ("prada", "not kept")],
)
def test_what_is_missing_is_named(name: str, why: str) -> None:
    assert why in DETECTORS[name]().cannot(only_labels(honest(50)))
    assert DETECTORS[name]().cannot(honest(50)) == ""


@pytest.mark.parametrize("name", ["duplicates", "labels"])
def test_labels_and_digests_are_enough_for_two(name: str) -> None:
    assert DETECTORS[name]().cannot(only_labels(honest(50))) == ""


def test_looks_ascend_and_grow_by_a_tenth() -> None:
    at = looks(5_000)
    assert at[0] == 20
    assert at[-1] == 5_000
    assert {100, 500, 1_000, 5_000} <= {*at.tolist()}
    assert (np.diff(at) >= 1).all()
    assert (at[1:] / at[:-1] <= 1.16).all()
    assert looks(19).tolist() == []


def test_equal_digests_are_equal_keys() -> None:
    keys = row_keys(bytes(16) + bytes(range(16)) + bytes(16))
    assert keys[0] == keys[2] != keys[1]
    assert NO_VERDICT < -1e300
