"""JSON APIs that a spec describes."""

import base64
import io
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.endpoint_servers import Server, pixels, serving
from torch import Tensor

from clonecost.errors import SpecError, VictimError
from clonecost.victims import LoadedVictim
from clonecost.victims.endpoints import EndpointSettings, check_endpoint, endpoint_victim
from clonecost.victims.input_form import InputForm

SHAPE, CLASSES = (3, 16, 12), 4
NAMES = ["ant", "bee", "cat", "dog"]


def scores_of(inputs: Tensor) -> Tensor:
    size = inputs[0].numel()
    weight = torch.rand(size, CLASSES, generator=torch.Generator().manual_seed(0)) - 0.5
    return (inputs.flatten(1) @ weight).softmax(1)


def rows(count: int = 5, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Smooth 8-bit images, as photographs are: a JPEG changes them little."""
    coarse = torch.rand(count, shape[0], 2, 2, generator=torch.Generator().manual_seed(count))
    smooth = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    return smooth.mul(255).round() / 255


class Api:
    """Starts a server with a reply, and makes a victim of it with a description."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def __call__(
        self, reply: Any, *, shape: tuple[int, ...] = SHAPE, form: InputForm | None = None,
        **settings: Any,
    ) -> tuple[Server, LoadedVictim]:  # fmt: skip
        server = self.stack.enter_context(
            serving(Server(scores_of, list(shape), CLASSES, reply=reply))
        )
        described = {"body": {"instances": "$inputs"}, "answers": "predictions", **settings}
        victim = endpoint_victim(
            f"{server.url}/v1/classify", input_shape=shape, num_classes=CLASSES, rate=1e6,
            settings=EndpointSettings(**described), form=form,
        )  # fmt: skip
        return server, victim


@pytest.fixture
def api() -> Iterator[Api]:
    with ExitStack() as stack:
        yield Api(stack)


def plain(scores: Tensor) -> Any:
    return {"predictions": scores.tolist()}


@pytest.mark.parametrize("encoding", ["png", "jpeg", "uint8", "array"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_encoding_of_grey_and_colour(encoding: str, channels: int, api: Api) -> None:
    shape = (channels, *SHAPE[1:])
    server, victim = api(plain, shape=shape, encoding=encoding, batch_size=2)
    inputs = rows(5, shape)
    atol = 0.03 if encoding == "jpeg" else 1e-6
    torch.testing.assert_close(victim.answer(inputs), scores_of(inputs), atol=atol, rtol=0)
    assert [sent for *_, sent in server.requests if sent].count(2) == 2
    assert victim.takes == ("float32" if encoding == "array" else "uint8")
    assert all(body["instances"] for body in server.bodies)


def test_a_png_file_is_valid(api: Api) -> None:
    server, victim = api(plain, row={"b64": "$input"})
    victim.answer(rows(1))
    sent = Image.open(io.BytesIO(base64.b64decode(server.bodies[0]["instances"][0]["b64"])))
    assert (sent.format, sent.mode, sent.size) == ("PNG", "RGB", (12, 16))
    assert np.array_equal(np.asarray(sent), rows(1)[0].mul(255).round().permute(1, 2, 0).numpy())


def test_one_row_a_request_with_text_beside_it(api: Api) -> None:
    server, victim = api(
        lambda scores: {"result": {"p": scores[0].tolist()}},
        body={"image": "$input", "model": {"name": "v3", "top": 4}}, answers="result.p",
    )  # fmt: skip
    torch.testing.assert_close(victim.answer(rows(3)), scores_of(rows(3)))
    assert [body["model"] for body in server.bodies] == [{"name": "v3", "top": 4}] * 3
    assert victim.rows_in_flight == 4


def ranked(scores: Tensor, k: int) -> list[list[dict[str, Any]]]:
    return [
        [{"label": NAMES[i], "score": float(row[i])} for i in row.argsort(descending=True)[:k]]
        for row in scores
    ]


def test_named_classes_in_any_order(api: Api) -> None:
    replies: list[Any] = [
        lambda scores: {"predictions": ranked(scores, 4)},
        lambda scores: {"predictions": [
            dict(zip(NAMES, row, strict=True)) for row in scores.tolist()]},
        lambda scores: {"predictions": [
            {str(k): p for k, p in enumerate(row)} for row in scores.tolist()]},
    ]  # fmt: skip
    for reply in replies:
        _, victim = api(reply, classes=NAMES)
        torch.testing.assert_close(victim.answer(rows()), scores_of(rows()))


def test_only_the_most_probable_classes(api: Api) -> None:
    _, victim = api(
        lambda scores: {"outputs": [{"top": one} for one in ranked(scores, 2)]},
        answers="outputs[*].top[].{label: label, score: score}", classes=NAMES, top_k=2,
        body={"image": "$input"},
    )  # fmt: skip
    answers, whole = victim.answer(rows()), scores_of(rows())
    assert ((answers > 0).sum(1) == 2).all()
    assert torch.equal(answers.argmax(1), whole.argmax(1))
    torch.testing.assert_close(answers.sum(1), torch.ones(5))
    kept = torch.where(answers > 0, whole, torch.zeros(()))
    torch.testing.assert_close(answers, kept / kept.sum(1, keepdim=True))


@pytest.mark.parametrize("name", [lambda k: NAMES[k], lambda k: k, str])
def test_only_the_predicted_class(name: Any, api: Api) -> None:
    _, victim = api(
        lambda scores: {"predictions": [name(k) for k in scores.argmax(1).tolist()]}, classes=NAMES
    )
    answers = victim.answer(rows())
    assert torch.equal(answers.sum(1), torch.ones(5))
    assert torch.equal(answers.argmax(1), scores_of(rows()).argmax(1))


def test_answers_with_few_digits_are_rescaled_and_others_are_not(api: Api) -> None:
    _, rounded = api(lambda scores: {"predictions": scores.mul(50).round().div(50).tolist()})
    answers = rounded.answer(rows(40))
    torch.testing.assert_close(answers.sum(1), torch.ones(40))
    _, percents = api(lambda scores: {"predictions": scores.mul(100).tolist()})
    torch.testing.assert_close(percents.answer(rows()), scores_of(rows()))
    assert ", gives percentages (" in percents.format
    _, halves = api(lambda scores: {"predictions": scores.mul(0.5).tolist()})
    with pytest.raises(VictimError, match=r"sums to 0\.5, as counts of votes do"):
        halves.answer(rows())


BAD: dict[str, tuple[Any, str]] = {
    "elsewhere": ({"prediction": []}, "nothing at predictions: got the keys prediction"),
    "no object": ([1], "nothing at predictions: got a list of 1"),
    "too few": ({"predictions": [[1, 0, 0, 0]]}, "got 1 answers, want 2 answers for 2 rows"),
    "no list": ({"predictions": 5}, "got no list, want 2 answers for 2 rows"),
    "words": ({"predictions": [["a", "b"]] * 2}, r'got .*"a", .*want numbers'),
    "unknown name": ({"predictions": ["eel"] * 2},
                     r"classes: eel\. The classes are ant, bee, cat, dog\. .*`endpoint\.classes`"),
    "unknown number": ({"predictions": [9] * 2},
                       r"no classes: 9\. The classes are ant, bee, cat, dog"),
    "short": ({"predictions": [[0.5, 0.5]] * 2}, r"got 2, want 4. Set `endpoint\.top_k=2`"),
    "keys": ({"predictions": [[{"name": "ant", "p": 1}]] * 2},
             r"no key 'label': got name, p. Set `endpoint\.label`"),
    "null": ({"predictions": [None, None]}, "got null, want numbers"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_an_answer_of_another_form_is_one_sentence(what: str, api: Api) -> None:
    document, sentence = BAD[what]
    _, victim = api(lambda scores: document, classes=NAMES)
    with pytest.raises(VictimError, match=sentence) as failed:
        victim.answer(rows(2))
    assert "\n" not in str(failed.value)


def test_an_answer_that_is_no_json(api: Api) -> None:
    server, victim = api(plain)
    server.scenes.append(("status", 200, {}, "<html>welcome</html>"))
    with pytest.raises(VictimError, match="no JSON that predictions"):
        victim.answer(rows(2))


URL = "http://127.0.0.1:1/v1/classify"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no answers": ({"body": {"x": "$input"}}, r"endpoint\.answers is missing"),
    "path": ({"body": {"x": "$input"}, "answers": "a["}, r"endpoint\.answers .*got 'a\['"),
    "no marker": ({"body": {"x": "y"}, "answers": "a"}, r'got neither, want "\$input"'),
    "both markers": ({"body": {"x": "$input", "y": "$inputs"}, "answers": "a"}, "got both"),
    "row": ({"body": {"x": "$inputs"}, "row": "y", "answers": "a"}, r"endpoint\.row .*got 'y'"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_an_incomplete_description_is_refused(what: str) -> None:
    settings, sentence = WRONG[what]
    with pytest.raises(SpecError, match=sentence):
        check_endpoint(URL, EndpointSettings(**settings))


def test_contradictions_are_refused_before_anything_is_sent(api: Api) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"classes": NAMES[:3]}, "endpoint.classes .*got 3, want 4"),
        ({"top_k": 4}, "endpoint.top_k is out of range for 4 classes"),
        ({"body": {"image": "$input"}, "batch_size": 2}, "takes one row a request"),
        ({"shape": (2, 4, 4)}, "A png has 1 or 3 channels"),
        ({"form": InputForm(mean=(0.5,))}, "Leave layout, pixels, channels, mean and std out"),
    ]
    for how, sentence in cases:
        with pytest.raises(SpecError, match=sentence):
            api(plain, **how)


def test_arrays_in_another_order_and_range(api: Api) -> None:
    form = InputForm(layout="nhwc", pixels="0..255")
    server, victim = api(plain, encoding="array", form=form)
    victim.answer(rows(1))
    sent = torch.tensor(server.bodies[0]["instances"][0])
    torch.testing.assert_close(sent, rows(1)[0].permute(1, 2, 0) * 255)
    assert pixels(server.bodies[0]["instances"][0], list(SHAPE)).shape == (16, 12, 3)


def test_arrays_with_channels_in_another_order(api: Api) -> None:
    for encoding, scale in (("array", 1), ("uint8", 255)):
        server, victim = api(plain, encoding=encoding, form=InputForm(channels="bgr"))
        victim.answer(rows(1))
        sent = torch.tensor(server.bodies[0]["instances"][0]).float()
        torch.testing.assert_close(sent, (rows(1)[0].flip(0) * scale), atol=0.51, rtol=0)
