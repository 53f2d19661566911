"""Messages of the wire: what a server answers to an audit, and what a client asks `serve`."""

import json
from contextlib import closing
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fuzzing import as_json, broken, fuzz, holds_its_promise, json_bytes
from tests.support.toys import uniform

from clonecost.errors import CloneCostError
from clonecost.oracle.answer_policy import api_answers
from clonecost.serving import Limits, ServedModel
from clonecost.serving.limits import JsonCount
from clonecost.serving.protocol import RefusedError, decode, encode
from clonecost.types import Feature, PredictionApi
from clonecost.victims.endpoints import EndpointSettings, open_inference, wire
from clonecost.victims.endpoints.calling import open_caller
from clonecost.victims.endpoints.open_inference import OpenInference, connect
from clonecost.victims.endpoints.secret_values import Secrets
from clonecost.victims.endpoints.template import make_template
from clonecost.victims.endpoints.tensor_answers import TensorAnswers
from clonecost.victims.input_form import InputForm

URL = "http://127.0.0.1:9/v2/models/net"
SHAPE, CLASSES, ROWS = (1, 2, 2), 3, 2
REFUSALS = (CloneCostError, RefusedError)
API = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)
TABLE = PredictionApi(
    input_shape=(2,), num_classes=CLASSES, incomplete=True,
    features=(Feature(name="age", low=0, high=99), Feature(name="city", categories=("a", "b"))),
)  # fmt: skip


Message = tuple[bytes, str | None]  # and the length of its head, if binary data follow it


def message(name: str, values: Any, datatype: str, *, binary: bool, asked: bool) -> Message:
    tensor, raw = wire.pack(name, datatype, np.array(values), binary=binary)
    request = wire.InferenceRequest(id="a", inputs=[tensor])
    response = wire.InferenceResponse(model_name="net", outputs=[tensor])
    body, headers = wire.write(request if asked else response, raw)
    return body, headers.get(wire.HEAD_LENGTH)


PIXELS = np.full((ROWS, *SHAPE), 0.5)
ASKED = [message("pixels", PIXELS, "FP32", binary=binary, asked=True) for binary in (True, False)]
ASKED.append(message("features", [[31, 0], [42, 1]], "FP32", binary=False, asked=True))
SCORES = np.full((ROWS, CLASSES), 1 / 3)
GIVEN = [message("scores", SCORES, kind, binary=binary, asked=False)
         for kind in ("FP32", "FP16") for binary in (True, False)]  # fmt: skip
GIVEN.append(message("scores", [[1], [2]], "INT64", binary=False, asked=False))
OF_ASKED = st.sampled_from([int(head) for _, head in ASKED if head])
OF_GIVEN = st.sampled_from([head for _, head in GIVEN if head])
HEADS = st.none() | OF_ASKED | st.integers(-5, 500) | st.sampled_from([2**63, 10**30])
HEADERS = (
    st.none() | OF_GIVEN | st.integers(-5, 500).map(str)
    | st.sampled_from(["", "a", "1e3", "²", "9" * 5_000])
)  # fmt: skip


def bodies(messages: list[Message]) -> list[bytes]:
    return [body for body, _ in messages]


@fuzz
@given(broken(*bodies(ASKED)) | json_bytes(json.loads(ASKED[1][0]))
       | json_bytes(json.loads(ASKED[2][0])), HEADS,
       st.sampled_from([API, TABLE]))  # fmt: skip
def test_a_request_to_serve(content: bytes, head: int | None, api: PredictionApi) -> None:
    holds_its_promise(lambda: served(content, head, api), refusals=REFUSALS)


def served(content: bytes, head: int | None, api: PredictionApi) -> object:
    model, limits = ServedModel(name="net", victim=uniform(CLASSES), api=api), Limits()
    JsonCount(api, limits.max_rows).add(content[:head])
    request, inputs = decode(bytearray(content), head, model, limits.max_rows)
    return encode(model, request, model(inputs))


OPEN = OpenInference(
    url=f"{URL}/infer", input="pixels", datatype="FP32", sizes=list(SHAPE), binary=True,
    form=InputForm(), arrangement="nchw", rows_per_request=ROWS,
    answers=TensorAnswers(
        url=URL, output="scores", classes=(), num_classes=CLASSES, stated=None, exact=False,
        quote=lambda text, length: " ".join(text.split())[:length],
    ),
)  # fmt: skip


@fuzz
@given(
    broken(*bodies(GIVEN))
    | json_bytes(json.loads(GIVEN[1][0]))
    | json_bytes(json.loads(GIVEN[4][0])),
    HEADERS,
)
def test_an_inference_response(content: bytes, head: str | None) -> None:
    holds_its_promise(lambda: answered(content, head))


def answered(content: bytes, head: str | None) -> object:
    headers = [] if head is None else [(wire.HEAD_LENGTH.encode(), head.encode())]
    response = httpx2.Response(200, content=content, headers=headers)
    return api_answers(OPEN.read(response, ROWS), ROWS, API)


SETTINGS = EndpointSettings()
METADATA = {
    "name": "net", "platform": "onnx", "versions": ["1"],
    "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, *SHAPE]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, CLASSES]}],
}  # fmt: skip
SERVER = {"name": "a", "extensions": ["binary_tensor_data"]}


@fuzz
@given(json_bytes(METADATA), json_bytes(SERVER))
def test_metadata(of_model: bytes, of_server: bytes) -> None:
    dialect = holds_its_promise(lambda: connected(of_model, of_server))
    if isinstance(dialect, OpenInference):
        holds_its_promise(lambda: dialect.request(torch.full((ROWS, *SHAPE), 0.5)))


def connected(of_model: bytes, of_server: bytes) -> OpenInference:
    def reply(_: object, method: str, url: str, **more: object) -> httpx2.Response:
        return httpx2.Response(200, content=of_model if url.endswith("net") else of_server)

    caller = open_caller(URL, SETTINGS, Secrets(SETTINGS))
    with pytest.MonkeyPatch.context() as patch, closing(caller):
        patch.setattr(open_inference, "exchange", reply)
        return connect(caller, URL, SETTINGS, InputForm(), SHAPE, CLASSES)


ANSWERS: list[Any] = [
    [[0.1, 0.7, 0.2], [0.2, 0.2, 0.6]],
    [{"a": 0.1, "b": 0.7, "c": 0.2}, {"a": 0.1, "b": 0.7, "c": 0.2}],
    [[{"label": name, "score": 1 / 3} for name in "abc"]] * 2,
    ["a", 2],
]  # fmt: skip


@fuzz
@given(st.one_of([json_bytes({"predictions": each}) for each in ANSWERS]),
       st.sampled_from(["predictions", "predictions[*]", "predictions[0].*", "@",
                        "length(predictions)", "sort(predictions)", "predictions[].score | [0]"]),
       st.none() | st.just(1))  # fmt: skip
def test_an_answer_by_template(content: bytes, path: str, top_k: int | None) -> None:
    holds_its_promise(lambda: by_template(content, path, top_k))


def by_template(content: bytes, path: str, top_k: int | None) -> object:
    settings = EndpointSettings(
        body={"rows": "$inputs"}, answers=path, classes=("a", "b", "c"), top_k=top_k
    )
    template = make_template(URL, settings, Secrets(settings), InputForm(), SHAPE, CLASSES)
    response = httpx2.Response(200, content=content)
    return api_answers(template.read(response, ROWS), ROWS, API)


def test_the_seeds_are_accepted() -> None:
    for (content, head), api in zip(ASKED, (API, API, TABLE), strict=True):
        served(content, int(head) if head else None, api)
    for content, head in GIVEN:
        answered(content, head)
    connected(as_json(METADATA), as_json(SERVER))
    for answers in ANSWERS:
        by_template(as_json({"predictions": answers}), "predictions", None)
