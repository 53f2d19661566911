from typing import Any

from tests.support.synthetic_runs import at_corrected, run

from clonecost.report import group_runs
from clonecost.report.model import Cell, Grid, Missing, Words
from clonecost.report.sections.costs import costs, queries_to


def cells_of(**changes: Any) -> tuple[Cell, ...]:
    grid = costs(group_runs([run(**changes)])).blocks[0]
    assert isinstance(grid, Grid)
    return grid.rows[0].cells


def test_levels_are_scored_milestones_with_their_price() -> None:
    (group,) = group_runs([run(curve=[(1000, 0.5), (5000, 0.77), (20_000, 0.8)])])
    assert queries_to(group, 0.75) == Words("≤ 20,000", note="≤ $20")
    assert queries_to(group, 0.9) == Missing("not reached within 20,000 queries")


def test_a_failed_attack_has_no_verdict_here_either() -> None:
    (group,) = group_runs([run(curve=[(1, at_corrected(0.01, -0.02, 0.04))])])
    assert queries_to(group, 0.75) == Missing("no verdict")


def test_a_white_box_reference_has_no_price_in_queries() -> None:
    (group,) = group_runs([run(threat={"access": "white-box"})])
    assert queries_to(group, 0.75) == Missing("not measured: white box")


def test_the_time_under_a_rate_limit_stands_beside_the_price() -> None:
    card = {
        "url": "https://example.org", "protocol": "p", "authorisation": None, "rate": 2.0,
        "rows_per_request": 1, "requests": 9, "latency": None, "lost_limit": None,
    }  # fmt: skip
    remote = run().result.model_copy(update={"endpoint": None})
    document = remote.model_dump(mode="json", by_alias=True) | {"endpoint": card}
    one = run()
    result = type(remote).model_validate(document)
    (group,) = group_runs([type(one)(one.path, result)])
    assert queries_to(group, 0.75) == Words("≤ 10,000", note="≤ $10, ≥ 83 min")


def test_a_price_that_was_not_given_is_missing_and_not_zero() -> None:
    *_, total, price = cells_of(usd_per_1000=None, lost=7)
    assert (total.shown, total.detail) == ("20,000", "and 7 lost")
    assert price == Missing("no price given")
