"""Honest accounts: their kinds, and rows that never do two jobs."""

import numpy as np
import pytest
from tests.support.digit_streams import honest

from clonecost.errors import DataError, SpecError
from clonecost.monitoring.benign import (
    USERS,
    accounts_needed,
    accounts_of,
    asking_again,
    rows_needed,
    skewed,
    video,
)

ROWS = honest()


def ids(stream_digests: "np.typing.NDArray[np.void]") -> set[bytes]:
    return {item.tobytes() for item in stream_digests}


def test_no_row_does_two_jobs() -> None:
    made = accounts_of(ROWS, accounts=200, rate=0.01, source="digits", users=("shuffled",))
    parts = [
        ids(made.reference.digests),
        set().union(*(ids(account.digests) for account in made.calibrating)),
        set().union(*(ids(account.digests) for account in made.checking)),
    ]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert made.account_rows == 239
    assert len(made.calibrating) == len(made.checking) == 100


def test_every_kind_of_user_is_in_both_halves() -> None:
    made = accounts_of(ROWS, accounts=200, rate=0.01, source="digits")
    assert made.kinds == dict.fromkeys(USERS, 40)
    assert {*made.calibrating.users} == {*made.checking.users} == {*USERS}
    again = accounts_of(ROWS, accounts=200, rate=0.01, source="digits")
    first, second = (list(one.checking)[7].digests for one in (made, again))
    assert ids(first) == ids(second)


def test_users_do_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    frames = video(ROWS, 100, rng)
    assert (frames.top.reshape(10, 10) == frames.top[::10, None]).all()
    assert len(ids(frames.digests)) == 100
    assert frames.inputs is not None
    assert frames.inputs[:].dtype == np.uint8
    again = asking_again(ROWS, 300, rng)
    assert 0.1 < 1 - len(ids(again.digests)) / 300 < 0.25
    largest = [np.bincount(skewed(ROWS, 60, rng).top).max() / 60 for _ in range(20)]
    assert np.mean(largest) > 0.35


def test_too_few_rows_say_how_many_it_takes() -> None:
    with pytest.raises(DataError, match=r"at least 100 honest rows .* accounts of 20 rows .*"
                       r" digits has 99\. Give more benign rows\."):  # fmt: skip
        accounts_of(ROWS.take(slice(99)), accounts=200, rate=0.01, source="digits")
    with pytest.raises(DataError, match=r"at least 4,500 .* of 900 rows .*or shorter accounts"):
        accounts_of(ROWS, accounts=200, rate=0.01, source="digits", account_rows=900)
    exact = accounts_of(ROWS.take(slice(rows_needed(20))), accounts=200, rate=0.01, source="x")
    assert exact.account_rows == 20


def test_too_few_accounts_for_the_rate_are_refused() -> None:
    with pytest.raises(DataError, match=r"100 benign accounts .* want 198 or more"):
        accounts_of(ROWS, accounts=100, rate=0.01, source="digits")
    assert accounts_needed(0.05) == 38


def test_an_unknown_user_and_users_of_images_on_tables() -> None:
    with pytest.raises(SpecError, match="unknown kind of user 'videos'; did you mean 'video'"):
        accounts_of(ROWS, accounts=200, rate=0.01, source="x", users=("videos",))
    with pytest.raises(SpecError, match="no images"):
        accounts_of(ROWS, accounts=200, rate=0.01, source="x", users=("video",), pixels=False)
    made = accounts_of(ROWS, accounts=200, rate=0.01, source="x", pixels=False)
    assert {*made.kinds} == {"shuffled", "skewed", "asking_again"}
