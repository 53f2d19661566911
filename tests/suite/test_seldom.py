"""A table that takes long to make is made less often."""

from clonecost.suite.seldom import seldom


def test_a_slow_call_takes_a_small_share_of_the_time() -> None:
    now, made = 0.0, list[float]()

    def table() -> None:
        nonlocal now
        made.append(now)
        now += 2.0

    write = seldom(table, clock=lambda: now)
    for _ in range(100):  # a run ends each second
        write()
        now += 1.0
    assert made == [0.0, 42.0, 84.0]


def test_a_quick_call_is_made_each_time() -> None:
    made = list[int]()
    write = seldom(lambda: made.append(1), clock=lambda: 0.0)
    for _ in range(3):
        write()
    assert len(made) == 3
