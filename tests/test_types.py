"""The rules of a threat model: one place for the audit, the server and the endpoints."""

from dataclasses import replace
from typing import Any

import pytest

from clonecost.errors import DropKey, SetKey, SpecError
from clonecost.types import Feature, PredictionApi, ThreatModel

AGE = Feature(name="age", low=0, high=120)
IMAGES = PredictionApi(input_shape=(1, 8, 8), num_classes=4)
TABLE = PredictionApi(input_shape=(1,), num_classes=4, features=(AGE,))
THREAT = ThreatModel(input_shape=(1, 8, 8), num_classes=4, query_budget=10)


@pytest.mark.parametrize(
    ("api", "changes", "sentence"),
    [
        (IMAGES, {"answers": "prob"}, "value of answers: got 'prob', want label or top_k or probs"),
        (IMAGES, {"input_precision": "uint16"}, "value of input_precision: got 'uint16'"),
        (IMAGES, {"input_shape": ()}, "positive sizes: got ()"),
        (IMAGES, {"input_shape": (1, 0, 8)}, "positive sizes: got (1, 0, 8)"),
        (IMAGES, {"num_classes": 1}, "at least two classes: got 1"),
        (IMAGES, {"answers": "top_k"}, "top_k is out of range for 4 classes: got None"),
        (IMAGES, {"answers": "top_k", "top_k": 0}, "got 0, want 1 to 3"),
        (IMAGES, {"answers": "top_k", "top_k": 4}, "got 4, want 1 to 3"),
        (IMAGES, {"top_k": 2}, "the answers are 'probs': got top_k=2, want None"),
        (IMAGES, {"answers": "label", "top_k": 2}, "the answers are 'label'"),
        (IMAGES, {"incomplete": True}, "incomplete is for rows of a table"),
        (TABLE, {"input_shape": (2,)}, "number of its features, 1: got (2,), want (1,)"),
        (TABLE, {"input_shape": (1, 1, 1)}, "got (1, 1, 1), want (1,)"),
        (TABLE, {"input_precision": "uint8"}, "8-bit inputs are pixels"),
        (THREAT, {"access": "grey-box"}, "value of access: got 'grey-box'"),
        (THREAT, {"query_budget": 0}, "budget of a black box is too small: got 0, want at least 1"),
        (THREAT, {"query_budget": -1, "access": "white-box"}, "budget of a white box is too small"),
        (THREAT, {"num_classes": 1}, "at least two classes"),
    ],
)
def test_a_contradiction_is_refused(
    api: PredictionApi, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        replace(api, **changes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("api", "changes"),
    [
        (IMAGES, {"answers": "label"}),
        (IMAGES, {"answers": "top_k", "top_k": 1}),
        (IMAGES, {"answers": "top_k", "top_k": 3}),
        (IMAGES, {"input_precision": "uint8"}),
        (IMAGES, {"input_shape": (64,)}),
        (IMAGES, {"num_classes": 2}),
        (TABLE, {"incomplete": True}),
        (THREAT, {"query_budget": 1}),
        (THREAT, {"query_budget": 0, "access": "white-box"}),
    ],
)
def test_the_limits_themselves_are_taken(api: PredictionApi, changes: dict[str, Any]) -> None:
    made = replace(api, **changes)
    assert {key: getattr(made, key) for key in changes} == changes


def test_the_remedies_are_fields() -> None:
    with pytest.raises(SpecError) as caught:
        replace(THREAT, query_budget=0)
    assert caught.value.remedies == (SetKey("budget"),)
    assert str(caught.value).endswith("Set `query_budget`.")
    with pytest.raises(SpecError) as caught:
        replace(IMAGES, incomplete=True)
    assert caught.value.remedies == (DropKey("incomplete"),)
