"""The headline of a panel: the cheapest clone, its simultaneous interval, and what is not known."""

import pytest
from tests.support.html_pages import parsed
from tests.support.synthetic_documents import panel
from tests.support.synthetic_runs import run, wilson

from clonecost.report import Run, group_runs, html, panel_headline
from clonecost.report.documents import Documents
from clonecost.report.panel import cheapest, envelope, simultaneous


def _entry(name: str, owns: str = "nothing", **changes: object) -> dict[str, object]:
    return {
        "name": name, "run": name, "attack": name, "owns": owns, "seed": 0, "budget": 50_000,
        "spent": 50_000, "ended": "budget_exhausted",
    } | changes  # fmt: skip


def _runs() -> list[Run]:
    """One attack is the best at its end, another reaches 90 % with fewer queries."""
    return [
        run("slow", attack="slow", curve=[(10_000, 0.5), (50_000, 0.94)]),
        run("fast", attack="fast", curve=[(2_000, 0.6), (12_000, 0.93)]),
    ]


def test_the_cheapest_clone_is_the_first_at_the_highest_level_that_any_reached() -> None:
    said = panel_headline(group_runs(_runs()), panel(_entry("slow"), _entry("fast", "photos")))
    assert said.startswith("The cheapest clone that we could make: 93 % agreement (95 % CI ")
    assert "for 12,000 queries, about $12, by an attacker who owns photos (fast)." in said
    assert said.endswith("Nobody reached 95 % chance-corrected agreement within 50,000 queries.")


def test_its_interval_holds_for_all_scored_clones_at_once() -> None:
    found = cheapest(group_runs(_runs()))
    assert found is not None
    assert found.scored == 4
    own = found.point.agreement
    assert found.agreement.low < own.low < own.value < own.high < found.agreement.high
    one = simultaneous(found.point, found.group, 1)
    exact = wilson(own.value)
    assert (one.low, one.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_with_seeds_the_interval_is_wider_by_the_quantiles() -> None:
    runs = [run(f"s{k}", seed=k, curve=[(1_000, 0.8 + 0.01 * k)]) for k in range(3)]
    (group,) = group_runs(runs)
    wide, own = simultaneous(group.final, group, 10), group.final.agreement
    assert (own.high - own.value) * 3 < wide.high - wide.value
    assert "mean of 3 seeds; 95 % CI" in panel_headline([group], panel(_entry("s0")))


def test_what_was_stopped_or_not_run_is_not_known() -> None:
    entries = [_entry("slow", ended="stopped"), _entry("fast"),
               _entry("none", run=None, ended="not_run", why="no time")]  # fmt: skip
    said = panel_headline(group_runs(_runs()), panel(*entries))
    assert said.endswith(
        "1 of 3 attacks ended early and 1 of 3 attacks were not run or failed, and what they "
        "would reach is not known."
    )


def test_attacks_that_learnt_nothing_give_no_cheapest_clone() -> None:
    failed = [run("bad", attack="bad", curve=[(1_000, 0.1)])]
    assert cheapest(group_runs(failed)) is None
    said = panel_headline(group_runs(failed), panel(_entry("bad")))
    assert said.startswith("No clone of the panel is better than one that ignores its input")


def test_below_every_level_the_best_final_clone_stands() -> None:
    little = [run("a", attack="a", curve=[(1_000, 0.4)]), run("b", attack="b",
              curve=[(1_000, 0.45)])]  # fmt: skip
    found = cheapest(group_runs(little))
    assert found is not None
    assert (found.level, found.group.label) == (None, "b")


def test_the_envelope_is_the_best_agreement_for_at_most_so_many_queries() -> None:
    assert envelope(group_runs(_runs())) == [(2_000, 0.6), (12_000, 0.93), (50_000, 0.94)]


def test_the_page_has_a_line_for_each_attack_and_one_picture() -> None:
    document = panel(
        _entry("slow", ended="stopped"), _entry("fast"),
        _entry("late", run=None, ended="not_run", why="the time limit was reached"),
    )  # fmt: skip
    page = html(_runs(), Documents(panel=document))
    parsed(page)
    for words in ("The cheapest clone", "stopped after 50,000 queries", "US dollars (log scale)",
                  "not run: the time limit was reached", "no evidence of safety"):  # fmt: skip
        assert words in page
    assert "The cheapest clone" not in html(_runs())
