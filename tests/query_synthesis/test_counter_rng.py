import torch

from clonecost.query_synthesis.counter_rng import below, normal, stream_keys, symmetric, words


def keys(n: int) -> torch.Tensor:
    return stream_keys(5, 1, torch.arange(n), torch.zeros(n, dtype=torch.int64))


def test_words_are_those_of_splitmix64() -> None:
    """The reference sequence for the state 1234567, and the first word for 0."""
    found = words(torch.tensor([1234567, 0]), 5)
    assert [word % 2**64 for word in found[0].tolist()] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip
    assert found[1, 0].item() % 2**64 == 0xE220A8397B1DCDAF


def test_normal_numbers_are_normal_and_independent() -> None:
    z = normal(keys(4_000), 64).double()
    count = z.numel()
    assert torch.isfinite(z).all()
    # moments within five standard errors: var of z^k is E z^2k - (E z^k)^2
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(z.pow(power).mean().item() - mean) < 5 * (variance / count) ** 0.5
    # no correlation within a stream, between adjacent streams, or between distant ones
    for a, b in ((z[:, 1:], z[:, :-1]), (z[1:], z[:-1]), (z[1_000:], z[:-1_000])):
        assert abs((a * b).mean().item()) < 5 / a.numel() ** 0.5
    share = torch.special.ndtr(z).flatten().sort().values
    steps = torch.arange(1, count + 1).double() / count
    assert (share - steps).abs().max().item() < 1.95 / count**0.5  # Kolmogorov-Smirnov, p = 0.001


def test_symmetric_numbers_fill_the_open_interval() -> None:
    u = symmetric(keys(4_000), 64)
    assert -1 < u.min() < -0.9999 < 0.9999 < u.max() < 1
    counts = torch.histc(u, 50, -1, 1)
    expected = u.numel() / 50
    assert ((counts - expected) ** 2 / expected).sum() < 85  # chi squared, 49 degrees, p = 0.001


def test_whole_numbers_are_below_the_bound_and_as_frequent() -> None:
    counts = below(keys(100_000), 10).bincount()
    assert len(counts) == 10
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 28  # 9 degrees, p = 0.001


def test_every_counter_changes_the_key() -> None:
    zero, one = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    drawn = [
        stream_keys(seed, purpose, a, b).item()
        for seed in (0, 1, 2**62)
        for purpose in (0, 1)
        for a in (zero, one)
        for b in (zero, one)
    ]
    assert len(set(drawn)) == 24


def test_numbers_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    assert torch.equal(normal(keys(100), 7)[40:41], normal(keys(100)[40:41], 7))
    assert torch.equal(normal(keys(3), 9)[:, :4], normal(keys(3), 4))
