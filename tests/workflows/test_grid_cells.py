"""Sweeps, attackers and refusals of a grid of defences, before anything is loaded."""

import pytest
from tests.support.defence_grids import defence_grid

from clonecost.config import make_counter, make_defence, make_spec
from clonecost.countermeasures import Known
from clonecost.defences import DEFENCES
from clonecost.errors import SpecError
from clonecost.report.defence_table import as_markdown, brief_rows, summary
from clonecost.types import ThreatModel
from clonecost.workflows.grid_cells import Row, all_cells, expanded, folder_name, grid_rows
from clonecost.workflows.pairings import PAIRINGS, attackers_of

THREAT = ThreatModel(input_shape=(1, 8, 8), num_classes=10, query_budget=100)


def rows(*defences: str, counters: tuple[str, ...] = (), **keys: object) -> list[Row]:
    spec = make_spec({"victim": "digits-lenet", "attack": "knockoff", "budget": 100, **keys})
    return grid_rows(spec, defences, counters, THREAT)


def test_a_sweep_is_a_row_for_each_value() -> None:
    assert expanded(["rounding:decimals=1,2", "dawn+noise:scale=0.1,0.2,consistent=true", "dawn",
                     "rounding:decimals=2"]) == [
        "rounding:decimals=1", "rounding:decimals=2", "dawn+noise:scale=0.1,consistent=true",
        "dawn+noise:scale=0.2,consistent=true", "dawn",
    ]  # fmt: skip


def test_every_defence_is_paired_with_attackers_that_exist() -> None:
    assert set(DEFENCES) == set(PAIRINGS)
    for pairings in PAIRINGS.values():
        assert all(make_counter(one.counter) for one in pairings)
    assert [one.name for one in attackers_of([])] == ["naive"]
    assert [one.name for one in attackers_of(["rounding"])] == ["naive", "label_only"]


@pytest.mark.parametrize(("defence", "attackers"), [
    ("noise", ["naive", "label_only", "averaging:repeats=4", "averaging:repeats=16", "jitter"]),
    ("noise:consistent=true", ["naive", "label_only", "jitter"]),  # repeats would be lost
    ("temperature+rounding", ["naive", "label_only", "inverse"]),
    ("reverse_sigmoid", ["naive", "label_only", "recovery_table", "recovery_net"]),
])  # fmt: skip
def test_attackers_that_do_not_fit_the_settings_are_left_out(
    defence: str, attackers: list[str]
) -> None:
    found = rows(defence, seed=[3, 4])
    assert [row.name for row in found] == ["none", "label", defence]
    assert [one.pairing.name for one in found[2].attackers] == attackers
    cells = list(all_cells(found))
    assert len(cells) == 2 * (2 + len(attackers))
    assert len({cell.folder for cell in cells}) == len(cells)
    assert cells[0].folder.as_posix() == "none/naive-3"
    assert [cell.spec.answers for cell in cells[:4]] == ["probs"] * 2 + ["label"] * 2
    assert not Known.of([make_defence("dawn")], 0).stateful


@pytest.mark.parametrize(("keys", "defences", "counters", "said"), [
    ({"attack": ["knockoff", "dfme"]}, ["rounding"], [], "has one attack"),
    ({"attack": "dfme"}, ["rounding"], [], "dfme cannot work with labels"),
    ({}, ["round"], [], "unknown defence 'round'"),
    ({}, ["rounding"], ["averagin"], "unknown countermeasure 'averagin'"),
    ({}, ["rounding"], ["inverse"], "inverse undoes temperature"),
    ({}, ["reverse_sigmoid:beta=1.0,gamma=1.0"], [], "1/K for every class"),
    ({"budget": 10}, ["noise"], [], "smaller than the 16 queries that averaging:repeats=16"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(
    keys: dict[str, object], defences: list[str], counters: list[str], said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        rows(*defences, counters=tuple(counters), **keys)


def test_folders_of_other_texts_are_other_folders() -> None:
    assert folder_name("label_only") == "label_only"
    assert folder_name("a:b=1") != folder_name("a:b-1")
    assert "/" not in folder_name("../../x")


def test_the_table_says_what_is_no_more_than_labels() -> None:
    grid = defence_grid()
    said = as_markdown(grid)
    assert said.count("no more than label-only") == 2  # a row, and the sentence
    assert "no more than label-only" not in said.partition("| none |")[2].partition("\n")[0]
    assert "More protection than that: dawn:rate=0.1 (changes 10.0 % of the top classes)." in said
    assert [row[3] for row in brief_rows(grid)] == ["naive", "naive", "label_only", "jitter"]
    half = grid.model_copy(update={"asked": [*(row.defence for row in grid.rows), "mad"]})
    assert summary(half)[-1] == "1 of 5 defences have not run yet."
