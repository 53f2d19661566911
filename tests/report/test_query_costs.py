import pytest
from tests.support.synthetic_runs import run, search

from clonecost.report import (
    QueryCosts,
    Run,
    group_runs,
    html,
    markdown,
    query_costs,
    query_costs_words,
)

DATA_FREE = {"purposes": {"training": 14_000, "gradients": 6_000}}


def costs_of(*runs: Run) -> QueryCosts | None:
    (group,) = group_runs(runs)
    return query_costs(group)


def test_rows_that_no_clone_was_trained_on_are_unused() -> None:
    found = costs_of(run(traffic=DATA_FREE))
    assert found is not None
    assert (found.spent, found.unused, found.usd(found.unused)) == (20_000, 6_000, 6.0)
    assert query_costs_words(found) == (
        "No clone was trained on 6,000 of 20,000 answers (30.0 %, $6). "
        "Queries by purpose: training 14,000 (70.0 %, $14), gradient estimates 6,000 (30.0 %, $6)."
    )


def test_the_final_images_of_a_search_are_used() -> None:
    found = costs_of(run(search=search(), traffic={"purposes": {"search": 20_000}}))
    assert found is not None
    assert found.unused == 20_000 - 500  # the same as Search.wasted
    assert found.unused / found.spent == search()["wasted"]


def test_a_search_whose_every_answer_is_used() -> None:
    found = costs_of(run(search=search(used_rows=20_000, wasted=0.0)))
    assert found is not None
    assert found.unused == 0
    assert query_costs_words(found) == "The clone was trained on all 20,000 answers."


def test_a_run_without_purposes_has_no_costs_by_purpose() -> None:
    assert costs_of(run()) is None
    assert "Use of the queries" not in html([run()]) + markdown([run()])


def test_a_white_box_reference_has_no_costs_by_purpose() -> None:
    assert costs_of(run(threat={"access": "white-box"}, traffic=DATA_FREE)) is None


def test_the_seed_with_the_most_queries_stands_for_all() -> None:
    short = {"purposes": {"training": 900, "validation": 100}}
    found = costs_of(run(traffic=short, curve=[(1_000, 0.5)], threat={"query_budget": 20_000}),
                    run(seed=1, traffic=DATA_FREE))  # fmt: skip
    assert found is not None
    assert found.spent == sum(found.purposes.values()) == 20_000


def test_no_price_no_money() -> None:
    found = costs_of(run(traffic=DATA_FREE, usd_per_1000=None))
    assert found is not None
    assert found.usd(10) is None
    assert "$" not in query_costs_words(found)


@pytest.mark.parametrize("form", [html, markdown])
def test_the_report_shows_the_costs_by_purpose(form: object) -> None:
    runs = [run(traffic=DATA_FREE), run(attack="old"), run(attack="ripper", search=search())]
    page = form(runs)  # type: ignore[operator]
    assert "Use of the queries" in page
    assert "6,000" in page
    assert "19,500" in page
    assert "on which no clone was trained" in page
