from typing import Any

import pytest
from tests.support.synthetic_runs import at_corrected, run, wilson

from clonecost.report import group_runs
from clonecost.report.aggregate import estimate


def test_one_seed_keeps_its_own_interval() -> None:
    rate = wilson(0.91)
    assert estimate([rate]).low == rate.low
    assert estimate([rate]).high == rate.high


def test_an_interval_over_seeds_stays_a_share() -> None:
    both = estimate([wilson(0.55), wilson(0.99)])
    assert (both.low, both.value, both.high) == (0.0, 0.77, 1.0)


def test_equal_seeds_reach_a_level_exactly() -> None:
    (group,) = group_runs([run(curve=[(100, at_corrected(0.9))], seed=seed) for seed in range(3)])
    assert group.reached(0.9) == 100


def test_runs_that_differ_in_the_seed_only_are_one_group() -> None:
    (group,) = group_runs(
        [run(seed=seed, settings={"lr": 0.1, "seed": seed}) for seed in (2, 0, 1)]
    )
    assert group.seeds == (0, 1, 2)
    assert group.label == "knockoff"


def test_what_the_first_answers_showed_is_no_part_of_the_experiment() -> None:
    seen = ("gives probabilities (0.1 to 1)", "gives probabilities (0.2 to 1)")
    (group,) = group_runs([run(seed=n, victim={"served": one}) for n, one in enumerate(seen)])
    assert group.seeds == (0, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threat": {"answers": "label"}}, "hard label"),
        ({"threat": {"answers": "top_k", "top_k": 3}}, "top 3"),
        ({"threat": {"query_budget": 7}}, "budget 7"),
        ({"threat": {"input_precision": "float32"}}, "float32 inputs"),
        (
            {"defences": [{"name": "rounding", "settings": {"decimals": 2}}]},
            "rounding (decimals=2)",
        ),
        ({"victim": {"name": "other"}}, "victim other"),
        ({"settings": {"epochs": 10, "lr": 0.5}}, "lr=0.5"),
    ],
)
def test_another_experiment_is_another_group_and_its_label_says_why(
    change: dict[str, Any], words: str
) -> None:
    groups = group_runs([run(), run(seed=1), run(seed=1, **change)])
    assert [len(group.runs) for group in sorted(groups, key=lambda g: len(g.runs))] == [1, 2]
    (other,) = [group for group in groups if len(group.runs) == 1]
    assert words in other.label
    assert len({group.label for group in groups}) == 2


def test_the_same_seed_twice_is_two_groups() -> None:
    groups = group_runs([run("a"), run("b"), run("c", seed=1)])
    assert sorted(len(group.runs) for group in groups) == [1, 2]
    assert {group.label for group in groups} == {"knockoff (1)", "knockoff (2)"}


def test_the_strongest_attack_comes_first_and_references_last() -> None:
    white = {"access": "white-box"}
    groups = group_runs(
        [
            run(attack="zskd", curve=[(10, 0.99)], threat=white),
            run(attack="weak", curve=[(10, 0.3)]),
            run(attack="strong", curve=[(10, 0.8)]),
        ]
    )
    assert [group.label for group in groups] == ["strong", "weak", "zskd (white box)"]


def test_milestones_that_seeds_overshoot_differently_are_paired() -> None:
    budget = {"query_budget": 1010}
    (group,) = group_runs(
        [
            run(seed=0, curve=[(100, 0.2), (1000, 0.6)], threat=budget),
            run(seed=1, curve=[(104, 0.4), (1009, 0.8)], threat=budget),
        ]
    )
    assert [p.queries for p in group.points] == [104, 1009]
    assert [p.agreement.value for p in group.points] == [
        pytest.approx(0.3),
        pytest.approx(0.7),
    ]


def test_a_seed_that_ended_early_counts_with_its_last_clone() -> None:
    (group,) = group_runs(
        [
            run(seed=0, curve=[(100, 0.2), (1000, 0.6)], threat={"query_budget": 1000}),
            run(seed=1, curve=[(50, 0.1)], threat={"query_budget": 1000}),
        ]
    )
    assert [(p.queries, round(p.agreement.value, 6)) for p in group.points] == [
        (100, 0.15),
        (1000, 0.35),
    ]


@pytest.mark.parametrize(
    ("level", "queries", "cost"), [(0.75, 10_000, 10), (0.9, 20_000, 20), (0.95, None, None)]
)
def test_the_first_scored_clone_at_a_level_counts(
    level: float, queries: int | None, cost: float | None
) -> None:
    (group,) = group_runs([run()])
    assert group.reached(level) == queries
    assert (None if queries is None else group.cost_of(queries)) == cost


def test_a_level_is_reached_where_it_is_met_exactly() -> None:
    (group,) = group_runs([run(curve=[(5, at_corrected(0.7499)), (6, at_corrected(0.75))])])
    assert group.reached(0.75) == 6


def test_an_infinite_divergence_is_kept() -> None:
    (group,) = group_runs([run(kl=float("inf"))])
    assert group.final.others["kl"] == float("inf")
