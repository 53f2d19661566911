from typing import Any

from tests.support.synthetic_runs import made_control, run, wilson

from clonecost.report import group_runs
from clonecost.report.model import Block, Details, Grid, Missing, Paragraph
from clonecost.report.sections.answers_and_controls import NO_CONTROLS, answers_and_controls
from clonecost.report.sections.threat_model import threat_words


def blocks_of(**changes: Any) -> tuple[Block, ...]:
    (details,) = answers_and_controls(group_runs([run(**changes)])).blocks
    assert isinstance(details, Details)
    return details.blocks


def test_an_attack_without_queries_has_no_invented_entropy_or_share() -> None:
    found = blocks_of(
        traffic={"rows": 0, "class_histogram": [0] * 5, "mean_entropy": 0, "confident": 0}
    )
    assert Paragraph(("The attack sent no query.",)) in found
    (grid,) = (block for block in found if isinstance(block, Grid))
    assert {row.cells[2] for row in grid.rows} == {Missing("no query")}


def test_a_class_without_test_inputs_has_no_agreement() -> None:
    found = blocks_of(per_class=[{"name": "dog", "rows": 0, "agreement": None}])
    (grid,) = (block for block in found if isinstance(block, Grid))
    assert grid.rows[0].cells[1] == Missing("no test input")


def test_controls_that_were_not_run_are_named_as_such() -> None:
    assert Paragraph((NO_CONTROLS,), "quiet") in blocks_of()
    control = made_control("true_labels", 0.88)
    found = blocks_of(controls=[control])
    assert Paragraph((NO_CONTROLS,), "quiet") not in found
    grid = found[-1]
    assert isinstance(grid, Grid)
    assert [row.cells[0].shown for row in grid.rows] == [
        "Trained on true labels", "The clone itself",
    ]  # fmt: skip


def test_labels_stand_beside_a_clone_that_always_decides_the_same() -> None:
    sea = {"name": "sea", "rows": 30, "agreement": wilson(0.95), "majority": 0.9}
    sand = {"name": "sand", "rows": 0, "agreement": wilson(1.0), "majority": 1.0}
    several = {"multi_label": True, "num_classes": 4}
    found = blocks_of(per_class=[sea, sand], threat=several)
    (grid,) = (block for block in found if isinstance(block, Grid))
    assert grid.label == "Agreement by label"
    assert [cell.shown for cell in grid.rows[0].cells[2:4]] == ["90.0 %", "50.0 %"]
    assert grid.rows[1].cells[3] == Missing("always the same")
    assert any("The mean entropy of a label was" in str(block) for block in found)
    said = threat_words(run(threat=several).result)
    assert "An answer gives the probability of each of 2 labels." in said
    alone = threat_words(run(threat={**several, "answers": "label"}).result)
    assert "An answer gives which of 2 labels are present." in alone
