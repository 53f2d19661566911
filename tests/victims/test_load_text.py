"""Victims of texts: pipelines, functions, skops and ONNX files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from clonecost.data.text_rows import encode
from clonecost.errors import VictimError
from clonecost.types import as_pixels
from clonecost.victims.load_text import load_text_victim, text_victim

TEXTS, LABELS = ["good soup", "bad soup", "good bread", "bad bread"], ["+", "-", "+", "-"]
ROWS = as_pixels(encode(["good", "bad", "café"], 12))


@pytest.mark.parametrize("last", [LogisticRegression(), MultinomialNB(), LinearSVC()])
def test_a_pipeline_gets_strings_and_answers_in_the_order_of_its_classes(last: object) -> None:
    pipe = make_pipeline(TfidfVectorizer(), last).fit(TEXTS, LABELS)
    victim = text_victim(pipe)
    answers = victim.answer(ROWS)
    assert victim.classes == ("+", "-")
    assert answers.shape == (3, 2)
    assert answers.argmax(1).tolist()[:2] == [0, 1]
    if hasattr(pipe, "predict_proba"):
        assert answers.dtype == torch.float64
        assert np.array_equal(answers, pipe.predict_proba(["good", "bad", "café"]))
    else:
        assert victim.shows() == ("label", None)


def test_a_function_gets_a_list_of_strings_and_its_failure_is_one_sentence() -> None:
    got: list[list[str]] = []

    def scores(texts: list[str]) -> list[list[float]]:
        got.append(texts)
        return [[0.25, 0.75] for _ in texts]

    victim = text_victim(scores, num_classes=2)
    assert got == []  # nothing is asked on loading
    assert victim.answer(ROWS).tolist() == [[0.25, 0.75]] * 3
    assert got == [["good", "bad", "café"]]
    with pytest.raises(VictimError, match="The victim failed on inputs of shape"):
        text_victim(lambda texts: texts[7]).answer(ROWS)


def test_a_skops_file_is_read_and_a_regression_is_refused(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    pipe = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    skops.dump(pipe, tmp_path / "model.skops")
    victim = load_text_victim(str(tmp_path / "model.skops"), input_shape=(12,))
    assert np.array_equal(victim.answer(ROWS), pipe.predict_proba(["good", "bad", "café"]))
    with pytest.raises(VictimError, match="is a regressor"):
        text_victim(make_pipeline(TfidfVectorizer(), Ridge()).fit(TEXTS, [1.0, 0, 1, 0]))
    with pytest.raises(VictimError, match="takes no texts"):
        (tmp_path / "w.safetensors").write_bytes(b"")
        load_text_victim(str(tmp_path / "w.safetensors"), input_shape=(12,))


def onnx_of_words(path: Path, text: bool = True) -> None:
    """An ONNX graph over strings: each text is a word of the vocabulary, or none."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    weights = np.array([[2.0, -2.0], [-2.0, 2.0], [0.0, 0.0]], np.float32)
    label = helper.make_node(
        "LabelEncoder", ["text"], ["place"], domain="ai.onnx.ml", keys_strings=["good", "bad"],
        values_int64s=[0, 1], default_int64=2,
    )  # fmt: skip
    nodes = [label, helper.make_node("Gather", ["weights", "place"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["probs"])]  # fmt: skip
    kind = types.STRING
    if not text:
        nodes, kind = [helper.make_node("Softmax", ["text"], ["probs"])], types.FLOAT
    graph = helper.make_graph(
        nodes, "words", [helper.make_tensor_value_info("text", kind, ["n"] if text else ["n", 2])],
        [helper.make_tensor_value_info("probs", types.FLOAT, ["n", 2])],
        [onnx.numpy_helper.from_array(weights, "weights")] if text else [],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)


def test_an_onnx_file_with_an_input_of_strings_answers(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx_of_words(tmp_path / "words.onnx")
    victim = load_text_victim(str(tmp_path / "words.onnx"), input_shape=(12,))
    answers = victim.answer(ROWS)
    assert victim.num_classes == 2
    assert answers.argmax(1).tolist()[:2] == [0, 1]
    assert answers[2].tolist() == [0.5, 0.5]
    onnx_of_words(tmp_path / "numbers.onnx", text=False)
    with pytest.raises(VictimError, match=r"takes no texts.*: got text tensor\(float\)"):
        load_text_victim(str(tmp_path / "numbers.onnx"), input_shape=(12,))
