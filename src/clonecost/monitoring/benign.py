"""Benign accounts for calibration, made from rows that the victim has answered before.

The rows are split in three, so that no row does two jobs: the reference that detectors learn from,
the rows of the accounts that set the thresholds, and the rows of the accounts that check them. An
account never holds a row twice unless its user asks again; accounts of one part share rows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import Stream
from clonecost.errors import Advice, DataError, SetKey, SpecError, suggest

REFERENCE = 0.2  # share of the rows that detectors learn from; the accounts' parts have half each
SHORTEST = 20  # rows of an account: detectors look for the first time at so many
LONGEST = 2_000  # rows of an account by default: the longest stretch that is watched
MOST_VALUES = 1 << 26  # of the inputs of an account: 256 MiB
SKEW = 0.3  # of a symmetric Dirichlet: most rows of such an account are of one or two classes
FRAMES = 10  # of one video
FRAME_NOISE = 0.01  # between a video's frames, in pixels of [0, 1]
NOISE = 0.05  # of a poor camera
BRIGHTNESS = 0.1  # largest change of the brightness of one user's camera
ASKED_AGAIN = 0.2  # share of the rows of a client that repeats its requests


@dataclass(frozen=True)
class Accounts:
    """Benign accounts, each made when it is looked at: together they may not fit into memory."""

    part: Stream  # the rows that they share
    users: tuple[str, ...]  # the kind of each
    length: int  # rows of each
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.users)

    def __iter__(self) -> Iterator[Stream]:
        for number, kind in enumerate(self.users):
            rng = np.random.default_rng((*self.seed, number))
            yield USERS[kind](self.part, self.length, rng)


@dataclass(frozen=True)
class BenignTraffic:
    """Benign accounts of equally many rows, and what detectors learn from.

    Attributes:
        reference: rows of many users.
        calibrating, checking: accounts; the first set the thresholds, the second check them.
        source: in words.
        rows: different rows in all three parts.
    """

    reference: Stream
    calibrating: Accounts
    checking: Accounts
    source: str
    rows: int

    @property
    def kinds(self) -> dict[str, int]:
        """The number of accounts of each kind of user."""
        return dict(Counter(self.calibrating.users + self.checking.users))

    @property
    def account_rows(self) -> int:
        """Rows of each account: the longest stretch for which the rate holds."""
        return self.calibrating.length


User = Callable[[Stream, int, np.random.Generator], Stream]  # (part, rows, rng) -> an account


def accounts_of(
    rows: Stream, *, accounts: int, rate: float, source: str, users: tuple[str, ...] = (),
    account_rows: int | None = None, seed: int = 0, pixels: bool = True,
) -> BenignTraffic:  # fmt: skip
    """Make benign accounts from answered rows, an equal number of each kind of user.

    Args:
        rows: what the victim answered, with inputs if they are known.
        accounts: in both halves together.
        rate: the false-alarm rate that they are to calibrate.
        users: names in `USERS`; none: all of them.
        account_rows: rows of each account; None: as many as the rows allow, at most 2,000, and
            fewer if their inputs would take more than 256 MiB.
        pixels: inputs are pixels; without, no user sends changed images.

    Raises:
        DataError: the rows or accounts are too few to calibrate.
        SpecError: there is no such user.
    """
    for name in users:
        if name not in USERS:
            raise SpecError(suggest("kind of user", name, list(USERS)), SetKey("users"))
    needed = accounts_needed(rate)
    if accounts < needed:
        raise DataError(
            f"{accounts} benign accounts cannot show a false-alarm rate of {rate:g}",
            Advice("use more accounts, or a larger rate"), got=accounts, want=f"{needed} or more",
        )  # fmt: skip
    share = int(len(rows) * (1 - REFERENCE) / 2)
    longest = share // 2  # of half of a part's rows, so that accounts differ
    length = min(longest, LONGEST, _that_fit(rows)) if account_rows is None else account_rows
    if length < SHORTEST or length > longest:
        least = rows_needed(max(length, SHORTEST))
        raise DataError(
            f"The detectors need at least {least:,} honest rows to know how often accounts of "
            f"{max(length, SHORTEST):,} rows alarm by mistake, and {source} has {len(rows):,}",
            Advice("give more benign rows" + (", or shorter accounts" * (length > SHORTEST))),
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    parts = [rows.take(part) for part in (order[2 * share :], order[:share], order[share:][:share])]
    chosen = [name for name in (users or USERS) if pixels or name not in CHANGED]
    if not chosen:
        raise SpecError("The chosen users send changed images, and these rows are no images",
                        Advice(f"choose among {', '.join(set(USERS) - set(CHANGED))}"))  # fmt: skip
    half = (accounts + 1) // 2
    names = tuple(islice(cycle(chosen), accounts))
    return BenignTraffic(
        reference=parts[0],
        calibrating=Accounts(parts[1], names[:half], length, (seed, 1)),
        checking=Accounts(parts[2], names[half:], length, (seed, 2)),
        source=source, rows=len(rows),
    )  # fmt: skip


def _that_fit(rows: Stream) -> int:
    """The rows of an account whose inputs fit into memory as float32."""
    if rows.inputs is None:
        return LONGEST
    return max(SHORTEST, MOST_VALUES // int(np.prod(rows.inputs.shape[1:])))


def accounts_needed(rate: float) -> int:
    """The fewest accounts, both halves together, that can show a false-alarm rate.

    Example:
        >>> accounts_needed(0.01)
        198
    """
    return 2 * int(np.ceil(1 / rate - 1 - 1e-9))


def rows_needed(account_rows: int) -> int:
    """The benign rows that accounts of `account_rows` rows take.

    Example:
        >>> rows_needed(20)
        100
    """
    return int(np.ceil(4 * account_rows / (1 - REFERENCE) - 1e-9))


# -- kinds of users ------------------------------------------------------------------------------


def shuffled(rows: Stream, length: int, rng: np.random.Generator) -> Stream:
    """Rows at random."""
    return rows.take(rng.permutation(len(rows))[:length])


def skewed(rows: Stream, length: int, rng: np.random.Generator) -> Stream:
    """Rows of few classes: shares drawn from a Dirichlet, until the rows of a class are used up."""
    shares = rng.dirichlet(np.full(rows.classes, SKEW))
    held = np.maximum(np.bincount(rows.top, minlength=rows.classes), 1)
    weights = np.log(np.maximum(shares / held, 1e-12))[rows.top]
    keys = weights + rng.gumbel(size=len(rows))  # the largest keys: drawn without replacement
    return rows.take(np.argsort(-keys)[:length])


def video(rows: Stream, length: int, rng: np.random.Generator) -> Stream:
    """Frames of videos: each image ten times with a little noise, with the same answer."""
    shots = rng.permutation(len(rows))[: -(-length // FRAMES)]
    found = rows.take(np.repeat(shots, FRAMES)[:length])
    return _changed(found, rng, noise=FRAME_NOISE)


def corrupted(rows: Stream, length: int, rng: np.random.Generator) -> Stream:
    """Images of a poor camera: another brightness and noise, with the answer of the clean image."""
    found = shuffled(rows, length, rng)
    return _changed(found, rng, noise=NOISE, scale=1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS))


def asking_again(rows: Stream, length: int, rng: np.random.Generator) -> Stream:
    """A client that repeats its requests: a fifth of the rows were asked shortly before."""
    order = rng.permutation(len(rows))[:length]
    again = rng.random(length) < ASKED_AGAIN
    again[0] = False
    place = np.maximum(np.arange(length) - rng.integers(1, 10, length), 0)
    source = np.where(again, place, np.arange(length))
    return rows.take(order[source])


USERS: Mapping[str, User] = {
    "shuffled": shuffled,
    "skewed": skewed,
    "video": video,
    "corrupted": corrupted,
    "asking_again": asking_again,
}
CHANGED = ("video", "corrupted")  # of images only


def _changed(rows: Stream, rng: np.random.Generator, *, noise: float, scale: float = 1.0) -> Stream:
    """The rows with changed pixels and new digests; the answers stay those of the clean rows."""
    drawn: NDArray[np.void] = np.frombuffer(rng.bytes(16 * len(rows)), "V16")
    if rows.inputs is None:
        return replace(rows, digests=drawn)
    pixels = rows.pixels() * np.float32(scale)
    pixels = pixels + np.float32(noise) * rng.standard_normal(pixels.shape, np.float32)
    as_bytes = (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)  # as an image file
    return replace(rows, digests=drawn, inputs=as_bytes)
