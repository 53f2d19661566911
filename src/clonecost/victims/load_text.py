"""Victims that take texts: functions and scikit-learn pipelines over strings, ONNX, endpoints.

A model gets a list of strings; `clonecost.data.text_rows` decodes the rows that the oracle sends.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from clonecost.data.values import word
from clonecost.errors import SetKey, VictimError
from clonecost.persistence.disk import file_digest
from clonecost.persistence.file_limits import at_home
from clonecost.types import Shape
from clonecost.victims.answer_form import Outputs
from clonecost.victims.asking import Asked, asked
from clonecost.victims.digests import code_digest, estimator_digest, weights_digest
from clonecost.victims.estimator_columns import must_classify
from clonecost.victims.file_kinds import must_be_readable
from clonecost.victims.loaded_victim import LoadedVictim, must_exist
from clonecost.victims.onnx_text import onnx_text_victim
from clonecost.victims.pipelines import is_pipeline, opened_pipeline
from clonecost.victims.python_object import check_callable, python_object
from clonecost.victims.sklearn_model import is_estimator, skops_victim
from clonecost.victims.text_scores import OfTexts, text_scores


def text_victim(
    model: Any, *, name: str = "victim", outputs: Outputs | None = None,
    num_classes: int | None = None, weights: str | None = None,
) -> LoadedVictim:  # fmt: skip
    """A fitted scikit-learn pipeline over strings, a Hugging Face pipeline, or a function of texts.

    Answers are the estimator's `predict_proba` in the order of its `classes_`; without that method
    they are one-hot rows of its `predict`. Those of `pipeline("text-classification")` are its
    scores in the order of `config.id2label`. A function gets a list of strings, and its first
    answers show what it returns.

    Raises:
        VictimError: the estimator is no classifier, or `model` cannot be called.

    Example:
        >>> pipe = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["a cat", "a dog"],
        ...                                                                   [0, 1])
        >>> text_victim(pipe).answer(as_pixels(encode(["cat"], 9))).shape
        torch.Size([1, 2])
    """
    if is_pipeline(model, "text-classification"):
        pipe = opened_pipeline(model, name)
        found = _asked(pipe.of_texts, name, outputs, len(pipe.classes))
        return LoadedVictim(
            name=name, answer=found.answer, num_classes=len(pipe.classes), classes=pipe.classes,
            form=found.form, shows=found.shows, outputs=outputs, code=code_digest(model),
            weights=weights_digest(pipe.model) if pipe.model else weights,
            served="a pipeline over texts",
        )  # fmt: skip
    if not is_estimator(model) or isinstance(model, type):
        check_callable(model, name)
        found = _asked(cast(OfTexts, model), name, outputs, num_classes)
        return LoadedVictim(
            name=name, answer=found.answer, num_classes=num_classes, form=found.form,
            shows=found.shows, outputs=outputs, code=code_digest(model), weights=weights,
            served="a function of texts",
        )  # fmt: skip
    must_classify(model)
    classes = tuple(map(word, getattr(model, "classes_", ())))
    proba = getattr(model, "predict_proba", None)
    if proba is None and classes:
        outputs = outputs or "label"
    answer = proba or _predicted(model)
    found = _asked(answer, name, outputs, len(classes) or num_classes)
    return LoadedVictim(
        name=name, answer=found.answer, num_classes=len(classes) or num_classes, classes=classes,
        form=found.form, shows=found.shows, outputs=outputs,
        weights=weights or estimator_digest(model), code=code_digest(model),
        served=f"{type(model).__name__} over texts",
    )  # fmt: skip


def _asked(model: OfTexts, name: str, outputs: Outputs | None, num_classes: int | None) -> Asked:
    # rows of our own would be no texts that the owner expects: the first that are sent decide
    return asked(
        text_scores(model), where=name, outputs=outputs, num_classes=num_classes, local=False
    )


def _predicted(model: Any) -> OfTexts:
    """The predicted classes as their places among `classes_`; as they are without such."""
    known = getattr(model, "classes_", None)

    def predict(texts: list[str]) -> object:
        found = np.asarray(model.predict(texts))
        return found if known is None else (found[:, None] == np.asarray(known)).argmax(1)

    return predict


def load_text_victim(
    where: str,
    *,
    input_shape: Shape,
    num_classes: int | None = None,
    outputs: Outputs | None = None,
    allow: Sequence[str] = (),
) -> LoadedVictim:
    """Load a victim of texts: `module:name`, `file.py:name`, a .skops or .onnx file.

    Args:
        input_shape: (bytes,) of a row.
        outputs, allow: as of `clonecost.victims.load_victim`.

    Raises:
        VictimError: it cannot be loaded, or takes no texts.

    Example:
        >>> load_text_victim("my_models:spam_filter", input_shape=(200,))  # doctest: +SKIP
    """
    must_be_readable(where)
    path = at_home(where)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return onnx_text_victim(
            path, input_shape=input_shape, num_classes=num_classes, outputs=outputs
        )
    if suffix == ".skops":
        must_exist(path)
        found = text_victim(
            skops_victim(path, allow), name=path.name, outputs=outputs, num_classes=num_classes,
            weights=file_digest(path),
        )  # fmt: skip
    elif ":" in where:
        found = text_victim(
            python_object(where), name=where, outputs=outputs, num_classes=num_classes
        )
    else:
        raise VictimError(
            f"The victim {where} takes no texts, and the test rows are texts", SetKey("victim"),
            want="package.module:name, a .skops or .onnx file, or the address of an endpoint",
        )  # fmt: skip
    return replace(found, input_shape=input_shape)
