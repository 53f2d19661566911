"""Answers of APIs: however they are written, they become the same scores, or one sentence."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.victims.endpoints.answer_reading import AnswerReader, number_of
from clonecost.victims.endpoints.class_labels import ClassLabels

URL = "http://127.0.0.1:1/classify"
NAMES = ("ant", "bee", "cat", "dog")


def reader(classes: tuple[str, ...] = NAMES, count: int = 4, **how: Any) -> AnswerReader:
    chosen = {"path": "predictions", "many": True, "csv": False, "label": "label",
              "score": "score", "top_k": None, "outputs": None, **how}  # fmt: skip
    return AnswerReader(
        url=URL, labels=ClassLabels(URL, classes, count), exact=True,
        quote=lambda text, length: text[:length], **chosen,
    )  # fmt: skip


def answer(document: Any, media: str = "application/json") -> httpx2.Response:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return httpx2.Response(200, headers={"content-type": media}, content=content)


@st.composite
def written(draw: st.DrawFn) -> tuple[Tensor, httpx2.Response, dict[str, Any]]:
    """Probabilities, one of the ways in which an API writes them, and the settings for it."""
    rows, count = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    raw = draw(st.lists(st.lists(st.integers(1, 97), min_size=count, max_size=count),
                        min_size=rows, max_size=rows))  # fmt: skip
    probs = torch.tensor(raw, dtype=torch.float64)
    probs = probs / probs.sum(1, keepdim=True)
    names = NAMES[:count]
    ways: list[Callable[[float], Any]] = [
        float, repr, lambda one: f"{100 * one!r}%", lambda one: [[one]],
    ]  # fmt: skip
    write = draw(st.sampled_from(ways))
    order = draw(st.permutations(range(count)))
    form = draw(st.sampled_from(["list", "named", "pairs", "columns", "numbered"]))
    items: list[Any] = []
    for row in probs.tolist():
        pairs = [(names[k], write(row[k])) for k in order]
        plain = [(name, number if not isinstance(number, list) else number[0][0])
                 for name, number in pairs]  # fmt: skip
        items.append({
            "list": [write(one) for one in row],
            "named": dict(pairs),
            "numbered": {str(names.index(name)): number for name, number in pairs},
            "pairs": [{"label": name, "score": number} for name, number in plain],
            "columns": {"label": [name for name, _ in pairs],
                        "score": [number for _, number in plain]},
        }[form])  # fmt: skip
    if draw(st.booleans()):
        items = [[one] for one in items]
    document: Any = {"predictions": draw(st.sampled_from([items, [items], json.dumps(items)]))}
    optional: dict[str, Any] = {
        "id": None,
        "error": None,
        "deployedModelId": "7",
        "metadata": {},
        "errors": [],
    }
    document |= {key: optional[key] for key in draw(st.sets(st.sampled_from(list(optional))))}
    for _ in range(draw(st.integers(0, 2))):
        document = json.dumps(document)
    if draw(st.booleans()):
        document = {"statusCode": 200, "predictions": None, "body": document}
        return probs, answer(document), {"path": "body.predictions", "classes": names}
    return probs, answer(document), {"path": "predictions", "classes": names}


@settings(max_examples=300)
@given(written())
def test_the_same_scores_however_they_are_written(
    case: tuple[Tensor, httpx2.Response, dict[str, Any]],
) -> None:
    probs, response, how = case
    found = reader(count=probs.shape[1], **how)
    torch.testing.assert_close(found.read(response, len(probs)), probs, atol=1e-9, rtol=0)
    assert found.shows == ("probs", None)


scalars = st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=5)
documents = st.recursive(
    scalars | st.floats(allow_nan=True), lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["predictions", "error", "label", "score", "ant", "0"]),
                      inner, max_size=4), max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(documents | documents.map(lambda one: {"predictions": one}), st.integers(1, 3),
       st.sampled_from([None, 2]))  # fmt: skip
def test_any_document_is_scores_or_one_sentence(
    document: Any, rows: int, top_k: int | None
) -> None:
    said, scores = "", torch.zeros(rows, 4)
    try:
        scores = reader(top_k=top_k).read(answer(document), rows)
    except VictimError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 800
    assert scores.shape == (rows, 4)
    assert torch.isfinite(scores).all()


@given(st.sampled_from(["error", "errors", "message", "detail", "msg"]), st.booleans(),
       st.sampled_from(["absent", "null", "empty"]))  # fmt: skip
def test_an_error_under_success_is_quoted(key: str, nested: bool, left: str) -> None:
    said = "the model ran out of memory"
    document: dict[str, Any] = {key: {"message": said} if nested else said}
    if left != "absent":
        document["predictions"] = None if left == "null" else []
    with pytest.raises(VictimError, match=f"200, but with an error .*{said}"):
        reader().read(answer(document), 2)


LABELS: dict[str, tuple[tuple[str, ...], list[Any]]] = {
    "words": (NAMES, ["bee", "dog", "ant"]),
    "numbers of words": (NAMES, [1, 3, 0]),
    "texts of numbers": (NAMES, ["1", "3", "0"]),
    "floats": ((), [1.0, 3.0, 0.0]),
    "classes from 1": (("1", "2", "3", "4"), [2, "4", 1.0]),
    "negative": (("-3", "-1", "1", "3"), [-1, "3", -3.0]),
    "winner and score": (NAMES, [{"label": "bee", "score": 0.9}, {"label": "dog", "score": "55%"},
                                 {"label": "ant", "score": None}]),
    "winner alone": (NAMES, [{"label": "bee"}, {"label": "dog"}, {"label": "ant"}]),
    "list of one": (NAMES, [[{"label": "bee", "score": 1}], [{"label": "dog", "score": 1}],
                            [{"label": "ant", "score": 0.4}]]),
}  # fmt: skip


@pytest.mark.parametrize("what", LABELS)
def test_labels_are_found_by_value(what: str) -> None:
    classes, items = LABELS[what]
    found = reader(classes)
    scores = found.read(answer({"predictions": items}), 3)
    assert scores.argmax(1).tolist() == [1, 3, 0]
    assert torch.equal(scores.sum(1), torch.ones(3).double())
    assert found.shows == ("label", None)


def test_an_unknown_label_stops_with_both_sides() -> None:
    with pytest.raises(VictimError, match=r"no classes: 0, eel\. The classes are 1, 2, 3, 4\."):
        reader(("1", "2", "3", "4")).read(answer({"predictions": [1, 0, "eel"]}), 3)
    with pytest.raises(VictimError, match=r"no classes: 4\. The classes are 0 to 3\."):
        reader(()).read(answer({"predictions": [{"4": 0.5, "1": 0.5, "2": 0, "0": 0}]}), 1)


FORMS: dict[str, Callable[[list[str]], Any]] = {
    "named": lambda names: dict.fromkeys(names, 1 / len(names)),
    "pairs": lambda names: [{"label": name, "score": 1 / len(names)} for name in names],
}


@pytest.mark.parametrize("form", FORMS)
def test_each_name_of_an_answer_is_looked_up_once(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def counted(value: object) -> str:
        asked.append(value)
        return str(value)

    monkeypatch.setattr("clonecost.data.values.word", counted)
    names = [f"class {k}" for k in range(200)]
    found = reader(tuple(names), 200)
    document = {"predictions": [FORMS[form](names)] * 16}
    found.read(answer(document), 16)
    found.read(answer(document), 16)
    # each name of each answer once, and the classes once: by word, by meaning, whether numbers
    assert len(asked) <= 2 * 16 * 200 + 3 * 200 + 16


def test_one_number_a_row_is_the_probability_of_the_second_class() -> None:
    found = reader(("no", "yes"), 2)
    first = found.read(answer({"predictions": [0.25, 1, "0.5"]}), 3)
    assert first.tolist() == [[0.25], [1.0], [0.5]]
    assert found.read(answer({"predictions": [0, 1]}), 2).tolist() == [[0.0], [1.0]]
    labels = reader(("no", "yes"), 2)
    labels.read(answer({"predictions": [0, 1]}), 2)
    with pytest.raises(VictimError, match=r"answered with classes so far.*outputs='sigmoid'"):
        labels.read(answer({"predictions": [0.3, 1]}), 2)
    stated = reader(("no", "yes"), 2, outputs="sigmoid")
    assert stated.read(answer({"predictions": [0, 1]}), 2).tolist() == [[0.0], [1.0]]


def test_percentages_of_the_most_probable_classes_are_stated() -> None:
    items = [[{"label": "bee", "score": 81.0}, {"label": "ant", "score": 9.0}]]
    with pytest.raises(VictimError, match=r"2 classes.* no probabilities: got \[9.0, 81.0\].*"
                                          r"`outputs='percent'`"):  # fmt: skip
        reader(top_k=2).read(answer({"predictions": items}), 1)
    found = reader(top_k=2, outputs="percent")
    assert found.read(answer({"predictions": items}), 1).tolist() == [[10.0, 90.0, 0.0, 0.0]]
    assert found.shows == ("top_k", 2)


def test_logits_are_left_as_they_are() -> None:
    logits = [[0.25, 0.25, 0.25, 0.21]]  # a sum that rounding would explain
    kept = reader(outputs="logits").read(answer({"predictions": logits}), 1)
    assert kept.tolist() == logits
    with pytest.raises(VictimError, match="without the other classes"):
        reader(top_k=2, outputs="logits").read(answer({"predictions": [{"ant": 1, "bee": 2}]}), 1)


def test_lines_of_csv() -> None:
    text = io.StringIO()
    csv.writer(text).writerows([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    lines = answer(text.getvalue().encode(), "text/csv; charset=utf-8")
    found = reader(path="@").read(lines, 2)
    np.testing.assert_allclose(found.numpy(), [[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    one = reader(("a", "b"), 2, path="@", csv=True).read(answer(b"0.25\n", "text/plain"), 1)
    assert one.tolist() == [[0.25]]


def test_numbers_as_texts() -> None:
    texts = ["0.5", " 1e-3 ", "12.5 %", "%", "nan", "inf", "", "0x10", "07"]
    assert [number_of(one) for one in texts] == [0.5, 0.001, 0.125, *[None] * 6]
    assert [number_of(one) for one in (10**400, True, None, float("nan"))] == [None] * 4


@pytest.mark.parametrize(
    ("items", "want"),
    [
        ([[{"label": "bee", "score": 0.9}, {"label": "dog", "score": 0.2}],
          [{"label": "ant", "score": 0.7}], []], [[0, 0.9, 0, 0.2], [0.7, 0, 0, 0], [0] * 4]),
        ([["bee", "dog"], ["ant"], []], [[0, 1, 0, 1], [1, 0, 0, 0], [0] * 4]),
        ([[0.9, 0.8, 0.1, 0.3]] * 3, [[0.9, 0.8, 0.1, 0.3]] * 3),
    ],
)  # fmt: skip
def test_labels_that_an_answer_does_not_name_are_absent(items: list[Any], want: Any) -> None:
    several = reader(outputs="multi_label")
    scores = several.read(answer({"predictions": items}), 3)
    torch.testing.assert_close(scores, torch.tensor(want, dtype=torch.float64))
    alone = reader(outputs="multi_label", many=False)
    for item, row in zip(items, want, strict=True):
        scores = alone.read(answer({"predictions": item}), 1)
        torch.testing.assert_close(scores, torch.tensor([row], dtype=torch.float64))
