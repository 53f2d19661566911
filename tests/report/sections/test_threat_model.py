from typing import Any

from tests.support.synthetic_runs import run

from clonecost.report import group_runs
from clonecost.report.model import Paragraph, Section
from clonecost.report.sections.threat_model import threat_model, threat_words


def sentences(section: Section) -> list[str]:
    return [
        "".join(part if isinstance(part, str) else part.text for part in block.content)
        for block in section.blocks
        if isinstance(block, Paragraph)
    ]


def test_each_threat_model_is_described_once() -> None:
    label = {"answers": "label"}
    groups = group_runs([run(attack="a"), run(attack="b"), run(attack="c", threat=label)])
    first, second = sentences(threat_model(groups))
    assert first.startswith("a; b. ")
    assert second.startswith("c. ")
    assert "the top class only (hard label)" in second
    assert "8-bit pixels" in second
    assert "20,000 inputs of shape 1 × 28 × 28" in second


def test_tabular_inputs_are_rows_of_features() -> None:
    feature: dict[str, Any] = {"name": "x", "low": 0.0, "high": 1.0, "categories": []}
    threat = {"features": [feature] * 3, "incomplete": True, "input_shape": [3]}
    said = threat_words(run(threat=threat, attack="tramer_lr").result)
    assert "20,000 rows of tabular data with 3 features" in said
    assert "Any feature may be missing." in said
    assert "shape" not in said


def test_a_white_box_reference_sends_no_query() -> None:
    said = threat_words(run(threat={"access": "white-box", "query_budget": 0}).result)
    assert said.startswith("The white-box reference reads the victim's weights")
    assert "The attack sends no query" in said
