import pytest
from tests.support.synthetic_runs import run, search

from clonecost.report import Bill, Run, bill, bill_words, group_runs, html, markdown

DATA_FREE = {"purposes": {"training": 14_000, "gradients": 6_000}}


def bill_of(*runs: Run) -> Bill | None:
    (group,) = group_runs(runs)
    return bill(group)


def test_rows_that_no_clone_was_trained_on_taught_nothing() -> None:
    found = bill_of(run(traffic=DATA_FREE))
    assert found is not None
    assert (found.spent, found.idle, found.usd(found.idle)) == (20_000, 6_000, 6.0)
    assert bill_words(found) == (
        "No clone was trained on 6,000 of 20,000 answers (30.0 %, $6). "
        "Rows by purpose: training 14,000 (70.0 %, $14), gradient estimates 6,000 (30.0 %, $6)."
    )


def test_the_winners_of_a_search_taught() -> None:
    found = bill_of(run(search=search(), traffic={"purposes": {"search": 20_000}}))
    assert found is not None
    assert found.idle == 20_000 - 500  # the same as Search.wasted
    assert found.idle / found.spent == search()["wasted"]


def test_a_search_whose_every_row_teaches_wastes_none() -> None:
    found = bill_of(run(search=search(used_rows=20_000, wasted=0.0)))
    assert found is not None
    assert found.idle == 0
    assert bill_words(found) == "The clone was trained on all of 20,000 answers."


def test_an_old_run_has_no_bill() -> None:
    assert bill_of(run()) is None
    assert "bought for" not in html([run()]) + markdown([run()])


def test_a_white_box_reference_has_no_bill() -> None:
    assert bill_of(run(threat={"access": "white-box"}, traffic=DATA_FREE)) is None


def test_of_several_seeds_the_dearest_is_billed() -> None:
    short = {"purposes": {"training": 900, "validation": 100}}
    found = bill_of(run(traffic=short, curve=[(1_000, 0.5)], threat={"query_budget": 20_000}),
                    run(seed=1, traffic=DATA_FREE))  # fmt: skip
    assert found is not None
    assert found.spent == sum(found.purposes.values()) == 20_000


def test_no_price_no_money() -> None:
    found = bill_of(run(traffic=DATA_FREE, usd_per_1000=None))
    assert found is not None
    assert found.usd(10) is None
    assert "$" not in bill_words(found)


@pytest.mark.parametrize("form", [html, markdown])
def test_the_report_shows_the_bill(form: object) -> None:
    runs = [run(traffic=DATA_FREE), run(attack="old"), run(attack="ripper", search=search())]
    page = form(runs)  # type: ignore[operator]
    assert "What the rows were bought for" in page
    assert "6,000" in page
    assert "19,500" in page
    assert "no clone was trained on its answer" in page
