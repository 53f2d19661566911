"""A pipeline of Hugging Face, of images or texts, is a victim as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.hugging_face import Pipeline, TextPipeline

from clonecost.data.text_rows import encode
from clonecost.errors import VictimError
from clonecost.networks.per_label import chances_of
from clonecost.types import PredictionApi, as_pixels
from clonecost.victims import load_victim
from clonecost.victims.load_text import load_text_victim
from clonecost.victims.loaded_victim import as_loaded
from clonecost.victims.pipelines import AT_ONCE, opened_pipeline

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]  # more than its usual five answers
SHAPE = (3, 6, 8)
MODULE = """
from tests.support.hugging_face import Pipeline

def pipe():
    return Pipeline({names}, {shape})

def wrapped(inputs):
    from PIL import Image
    rows = (inputs.permute(0, 2, 3, 1) * 255).byte().numpy()
    return pipe()([Image.fromarray(row) for row in rows])
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipe") / "theirs.py"
    path.write_text(MODULE.format(names=NAMES, shape=SHAPE))
    return path


def test_scores_are_in_the_order_of_its_own_classes(module: Path) -> None:
    victim = load_victim(f"{module}:pipe()", input_shape=SHAPE)
    rows = torch.randint(256, (5, *SHAPE)) / 255
    torch.testing.assert_close(victim.answer(rows), Pipeline(NAMES, SHAPE).scores(rows))
    torch.testing.assert_close(victim.answer(rows[:1]), victim.answer(rows)[:1])
    assert (victim.classes, victim.num_classes, victim.takes) == (tuple(NAMES), 7, "uint8")
    assert victim.weights is not None
    given: Any = Pipeline(NAMES, SHAPE)
    opened_pipeline(given, "it").of_pixels(rows)
    assert given.batch_sizes == [AT_ONCE]  # it would take one image after another
    assert victim.format.startswith("gives probabilities")


def test_texts_are_given_to_a_pipeline_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "texts.py"
    path.write_text(
        f"from tests.support.hugging_face import TextPipeline\npipe = TextPipeline({NAMES})\n"
    )
    victim = load_text_victim(f"{path}:pipe", input_shape=(12,))
    texts = ["a cat", "two dogs", ""]
    theirs = TextPipeline(NAMES)
    want = torch.cat([theirs.scores(theirs.preprocess(text)) for text in texts])
    torch.testing.assert_close(victim.answer(as_pixels(encode(texts, 12))), want)
    assert (victim.classes, victim.num_classes) == (tuple(NAMES), 7)
    assert victim.weights is not None


def test_labels_without_the_pipeline_are_named_as_such(module: Path) -> None:
    with pytest.raises(VictimError, match=r"answers with labels and scores. Give the pipeline"):
        load_victim(f"{module}:wrapped", input_shape=SHAPE).answer(torch.rand(2, *SHAPE))


def test_classes_without_names_of_their_own_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.py"
    path.write_text(MODULE.format(names=["cat", "cat"], shape=SHAPE))
    with pytest.raises(VictimError, match=r"does not state its classes, .*got cat, cat"):
        load_victim(f"{path}:pipe()", input_shape=SHAPE)


def test_python_gives_it_to_an_audit() -> None:
    given: Any = Pipeline(NAMES, SHAPE)
    api = PredictionApi(input_shape=SHAPE, num_classes=7)
    how: Any = {"device": torch.device("cpu"), "white_box": False}
    with pytest.raises(VictimError, match="have 8 bits"):
        as_loaded(given, api=api, **how)
    victim = as_loaded(given, api=replace(api, input_precision="uint8"), **how)
    rows = torch.randint(256, (5, *SHAPE)) / 255
    torch.testing.assert_close(victim.answer(rows), given.scores(rows))
    assert victim.classes == tuple(NAMES)


def test_a_pipeline_of_sigmoids_gives_several_labels(module: Path) -> None:
    path = module.with_name("sigmoids.py")
    path.write_text(MODULE.format(names=NAMES, shape=f"{SHAPE}, sigmoid=True"))
    with pytest.raises(VictimError, match="is a multi-label model"):
        load_victim(f"{path}:pipe()", input_shape=SHAPE)
    victim = load_victim(f"{path}:pipe()", input_shape=SHAPE, outputs="multi_label")
    rows = torch.randint(256, (5, *SHAPE)) / 255
    answers = victim.answer(rows)
    torch.testing.assert_close(
        chances_of(answers), Pipeline(NAMES, SHAPE, sigmoid=True).scores(rows)
    )
    assert (victim.classes, victim.num_classes) == (tuple(NAMES), 14)
