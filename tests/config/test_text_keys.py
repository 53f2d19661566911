"""Which victims take texts, and the keys that do not fit."""

from typing import Any

import pytest

from clonecost.config import make_spec, of_table, of_text, proxy_name
from clonecost.errors import DropKey, SpecError

OWN = {"victim": "own:model", "test": "rows.csv", "text_column": "review"}

LABELS_SUFFICE = ["text_knockoff:salad", "text_knockoff", "text_knockoff:embedding"]


def test_a_csv_file_is_a_table_unless_a_text_column_is_named() -> None:
    table = make_spec({"victim": "own:model", "test": "rows.csv"})
    assert (of_table(table), of_text(table)) == (True, False)
    for written in (OWN, {**OWN, "victim": "model.skops"}, {"victim": "topics-tfidf"},
                    {"victim": "own:model", "test": "lines.txt"}):  # fmt: skip
        spec = make_spec(written)
        assert (of_table(spec), of_text(spec)) == (False, True)
        assert spec.attack == ["text_knockoff"]
        assert proxy_name(spec) == "docs-sentences"


def test_the_panel_of_texts_is_its_own() -> None:
    spec = make_spec({**OWN, "panel": "quick"})
    assert spec.attack == [*LABELS_SUFFICE, "tfidf_exact"]
    labels = make_spec({**OWN, "panel": "quick", "answers": "label"})
    assert labels.attack == LABELS_SUFFICE


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({**OWN, "shape": [3, 8, 8]}, "shape describes images or tables"),
        ({**OWN, "student": "lenet"}, "student describes images"),
        ({**OWN, "input_precision": "uint8"}, "input_precision is of pixels"),
        ({"victim": "digits-lenet", "longest": 9}, "longest describes texts"),
        ({"victim": "digits-lenet", "price_characters": 1.0}, "price_characters describes texts"),
        ({**OWN, "attack": "knockoff"}, "knockoff attacks images, and the victim takes texts"),
        ({**OWN, "attack": "tramer_lr"}, "tramer_lr attacks tables, and the victim takes texts"),
        ({"victim": "digits-lenet", "attack": "tfidf_exact"},
         "tfidf_exact attacks texts, and the victim takes images"),
    ],
)  # fmt: skip
def test_keys_and_attacks_of_another_kind_are_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        make_spec(written)
    if "describes" in said:
        assert any(isinstance(one, DropKey) for one in caught.value.remedies)
