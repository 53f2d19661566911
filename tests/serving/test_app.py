"""The server on a real socket: protocol, limits, and the same answers as from an oracle."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from tests.support.live_server import answers, client_of, in_binary, in_json
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, SHAPE
from torch import Tensor

from clonecost.defences import defend
from clonecost.defences.rounding import Rounding
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.serving import Limits, ServedModel
from clonecost.types import PredictionApi, ThreatModel, Victim

INFER = "/v2/models/toy/infer"


def toy(victim: Victim, **changes: Any) -> ServedModel:
    api = PredictionApi(input_shape=SHAPE, num_classes=CLASSES, **changes)
    return ServedModel(name="toy", victim=victim, api=api)


@pytest.fixture
def counting(victim: Victim) -> RecordingVictim:
    return RecordingVictim(victim)


@pytest.fixture
def client(counting: RecordingVictim) -> Iterator[httpx2.Client]:
    with client_of(toy(counting), Limits(max_rows=50, max_bytes=100_000)) as found:
        yield found


def pixels(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def test_json_and_binary_are_the_model_to_the_last_bit(
    client: httpx2.Client, victim: Victim
) -> None:
    x = pixels(17)
    want = victim(x).numpy()
    both, headers = in_binary(x)
    content, same = in_binary(x, answer=False)
    responses = {
        "json, json": client.post(INFER, json=in_json(x)),
        "nested": client.post(INFER, json=in_json(x, data=x.tolist())),
        "json, binary": client.post(
            INFER, json={**in_json(x), "parameters": {"binary_data_output": True}}
        ),
        "binary, binary": client.post(INFER, content=both, headers=headers),
        "binary, json": client.post(INFER, content=content, headers=same),
    }
    for way, response in responses.items():
        np.testing.assert_array_equal(answers(response), want, err_msg=way)
        binary = response.headers["content-type"] == "application/octet-stream"
        assert binary == way.endswith(", binary")


def test_the_outputs_parameter_overrules_the_requests(
    client: httpx2.Client,
) -> None:
    body = {
        **in_json(pixels(1)), "id": "seven", "parameters": {"binary_data_output": True},
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": False}}],
    }  # fmt: skip
    response = client.post(INFER, json=body).json()
    assert (response["id"], response["model_name"]) == ("seven", "toy")
    assert response["outputs"][0]["datatype"] == "FP32"


def test_metadata_and_health(client: httpx2.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/models/toy/ready").json() == {"name": "toy", "ready": True}
    found = client.get("/v2/models/toy").json()
    assert found["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, *SHAPE]}]
    assert found["outputs"][0]["shape"] == [-1, CLASSES]
    for path in ("/v2/models/other", "/v2/models/other/ready"):
        missing = client.get(path)
        assert (missing.status_code, "want 'toy'" in missing.json()["error"]) == (404, True)
    assert client.post("/v2/models/other/infer", json={}).status_code == 404
    assert client.get(INFER).json() == {"error": f"GET {INFER}: Method Not Allowed"}


X = pixels(2)
TENSOR = in_json(X)["inputs"][0]  # type: ignore[index]
BAD: dict[str, tuple[object, str]] = {
    "not json": (b"pixels", "no inference request: Invalid JSON"),
    "no inputs": ({}, "inputs: Field required"),
    "two inputs": ({"inputs": [TENSOR, TENSOR]}, "got 'pixels', 'pixels', want 'pixels'"),
    "name": (in_json(X, name="image"), "got 'image', want 'pixels'"),
    "output": ({**in_json(X), "outputs": [{"name": "logits"}]}, "got 'logits', want"),
    "datatype": (in_json(X, datatype="FP64"), "got 'FP64', want 'FP32'"),
    "shape": (in_json(X, shape=[2, 8, 8]), "got (2, 8, 8), want (n, 1, 8, 8)"),
    "no rows": (in_json(X, shape=[0, *SHAPE], data=[]), "n at least 1"),
    "negative shape": (in_json(X, shape=[-2, *SHAPE]), "greater than or equal to 0"),
    "too few": (in_json(X, data=[0.5]), "got 1 numbers, want 128"),
    "ragged": (in_json(X, data=[[0.5], [0.5, 0.5]]), "not an array of numbers"),
    "words": (in_json(X, data=["0.5"] * 128), "not an array of numbers"),
    "none": (in_json(X, data=[None] * 128), "not an array of numbers"),
    "truth": (in_json(X, data=[True] * 128), "not an array of numbers"),
    "no data": (in_json(X, data=None), "has no data"),
    "range": (in_json(X, data=[128.0] * 128), "got [128, 128], want pixels in [0, 1]"),
    "huge": (in_json(X, data=[1e300] * 128), "want pixels in [0, 1]"),
    "nan": (b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,1,8,8],"data":['
            + b",".join([b"NaN"] * 64) + b"]}]}", "holds NaN"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_request_is_refused_in_one_sentence(
    what: str, client: httpx2.Client, counting: RecordingVictim
) -> None:
    body, sentence = BAD[what]
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    response = client.post(INFER, **sent)
    assert response.status_code == 400
    assert sentence in response.json()["error"]
    assert counting.seen == 0


def test_a_bad_binary_request_is_refused_in_one_sentence(
    client: httpx2.Client, counting: RecordingVictim
) -> None:
    body, headers = in_binary(pixels(2))
    head = int(headers["Inference-Header-Content-Length"])
    for content, length, sentence in [
        (body, len(body) + 1, "the body has"),
        (body, -1, "greater than or equal to 0"),
        (body[:-4], head, "508 follow the head"),
        (body + b"0000", head, "516 follow the head"),
        (body[:head].replace(b"512", b"513") + body[head:], head, "binary_data_size states 513"),
        (body[:head].replace(b'"shape"', b'"data": [], "shape"'), None, "has data in JSON"),
    ]:
        size = length if length is not None else len(content)
        response = client.post(
            INFER, content=content, headers={"Inference-Header-Content-Length": str(size)}
        )
        assert (response.status_code, sentence in response.json()["error"]) == (400, True), sentence
    assert counting.seen == 0


def test_too_large_is_413(client: httpx2.Client, counting: RecordingVictim) -> None:
    rows = client.post(INFER, json=in_json(pixels(1), shape=[51, *SHAPE]))
    stated = client.post(INFER, content=b" " * 100_001)
    chunked = client.post(INFER, content=(b" " * 40_000 for _ in range(3)))
    assert [r.status_code for r in (rows, stated, chunked)] == [413, 413, 413]
    assert "got 51, want at most 50" in rows.json()["error"]
    assert "at most 100,000 bytes" in chunked.json()["error"]
    assert len(answers(client.post(INFER, json=in_json(pixels(50))))) == 50
    assert counting.seen == 50


def test_the_token_guards_all_but_health(counting: RecordingVictim) -> None:
    right, wrong = {"Authorization": "Bearer s3cret"}, {"Authorization": "Bearer s3cretly"}
    with client_of(toy(counting), token="s3cret") as client:
        for path in ("/v2", "/v2/models/toy", "/v2/models/toy/ready", "/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=wrong).status_code == 401
            assert client.get(path, headers=right).status_code == 200
        for headers in ({}, wrong, {"Authorization": "Basic s3cret"}):
            response = client.post(INFER, json=in_json(X), headers=headers)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
            assert "s3cret" not in response.text
        assert counting.seen == 0
        assert client.post(INFER, json=in_json(X), headers=right).status_code == 200
        assert client.get("/v2/health/live").status_code == 200


def test_requests_above_the_rate_get_429_and_pass_after_retry_after(
    counting: RecordingVictim,
) -> None:
    limits = Limits(max_rows=40, rate=40)
    with client_of(toy(counting), limits) as client:
        full = in_json(pixels(40))
        assert client.post(INFER, json=full).status_code == 200  # a burst
        refused = client.post(INFER, json=full)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "at most 40 rows a second" in refused.json()["error"]
        assert client.get("/v2/health/live").status_code == 200
        assert counting.seen == 40
        time.sleep(1)
        assert client.post(INFER, json=full).status_code == 200


def test_a_request_above_the_rate_passes_if_within_max_rows(counting: RecordingVictim) -> None:
    with client_of(toy(counting), Limits(max_rows=50, rate=0.5)) as client:
        assert client.post(INFER, json=in_json(pixels(50))).status_code == 200
        assert client.post(INFER, json=in_json(pixels(3))).headers["retry-after"] == "6"


@pytest.mark.parametrize("changes", [{"max_rows": 0}, {"max_bytes": -1}, {"rate": 0.0}])
def test_a_limit_that_is_not_above_0_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="want a number above 0"):
        Limits(**changes)


def test_health_answers_while_the_model_works(victim: Victim) -> None:
    started, finish = threading.Event(), threading.Event()

    def slow(inputs: Tensor, /) -> Tensor:
        started.set()
        assert finish.wait(20)
        return victim(inputs)

    with client_of(toy(slow)) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, INFER, json=in_json(X))
        assert started.wait(20)
        assert client.get("/v2/health/ready").status_code == 200
        assert not answer.done()
        finish.set()
        np.testing.assert_array_equal(answers(answer.result()), victim(X).numpy())


def test_many_clients_get_their_own_rows_one_request_at_a_time(victim: Victim) -> None:
    inside: list[int] = []
    threads: set[tuple[int, int]] = set()

    def watched(inputs: Tensor, /) -> Tensor:
        inside.append(len(inside))
        threads.add((threading.get_ident(), torch.get_num_threads()))
        assert len(inside) == 1
        time.sleep(0.002)
        inside.pop()
        return victim(inputs)

    with client_of(toy(watched)) as client, ThreadPoolExecutor(8) as pool:
        batches = [pixels(1 + seed % 3, seed) for seed in range(40)]
        found = pool.map(lambda x: answers(client.post(INFER, json=in_json(x))), batches)
        for x, answer in zip(batches, found, strict=True):
            np.testing.assert_array_equal(answer, victim(x).numpy())
    assert [count for _, count in threads] == [torch.get_num_threads()]


POLICIES: dict[str, dict[str, Any]] = {
    "label": {"answers": "label"},
    "top_k": {"answers": "top_k", "top_k": 2},
    "uint8": {"input_precision": "uint8"},
    "probs": {},
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("defences", [(), (Rounding(decimals=1),)], ids=["bare", "rounding"])
def test_the_output_policy_is_the_oracles(
    policy: str, defences: tuple[Rounding, ...], victim: Victim, tmp_path: Path
) -> None:
    x, defended = pixels(30), defend(victim, *defences)
    threat = ThreatModel(
        input_shape=SHAPE, num_classes=CLASSES, query_budget=30, **POLICIES[policy]
    )
    ledger = Ledger(tmp_path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)
    want = Oracle(defended, threat, ledger)(x)
    with client_of(toy(defended, **POLICIES[policy])) as client:
        got = answers(client.post(INFER, json=in_json(x)))
    np.testing.assert_array_equal(got, want.numpy())
    assert (policy, defences) == ("probs", ()) or not torch.equal(want, victim(x))


BROKEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "nan": (lambda x: torch.full((len(x), CLASSES), torch.nan), "NaN or infinity for 2 of 2 rows"),
    "logits": (lambda x: torch.full((len(x), CLASSES), 3.0), "Set `outputs`"),
    "shape": (lambda x: torch.rand(len(x), 7), "(2, 7)"),
    "failure": (lambda x: torch.rand(2, 3) @ torch.rand(2, 3), "The victim failed on inputs"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_model_is_500_with_an_id_and_the_log_has_the_reason(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    victim, sentence = BROKEN[how]
    with client_of(toy(victim)) as client:
        for _ in range(2):
            response = client.post(INFER, json=in_json(X))
            assert response.status_code == 500
            said = response.json()["error"]
            assert sentence not in said
            number = said.rpartition("id ")[2]
            (entry,) = [one for one in caplog.records if number in one.getMessage()]
            assert sentence in entry.getMessage()
            assert entry.exc_info
        assert 'clonecost_requests_total{status="500"} 2.0' in client.get("/metrics").text


def test_metrics_count_answers_and_refusals(client: httpx2.Client) -> None:
    client.post(INFER, json=in_json(pixels(7)))
    client.post(INFER, json=in_json(pixels(5)))
    client.post(INFER, json=in_json(pixels(5), datatype="BYTES"))
    client.get("/v2/health/live")
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    lines = metrics.text.splitlines()
    assert "clonecost_rows_total 12.0" in lines
    assert "clonecost_model_seconds_count 2.0" in lines
    assert {line for line in lines if line.startswith("clonecost_requests_total")} == {
        'clonecost_requests_total{status="200"} 2.0', 'clonecost_requests_total{status="400"} 1.0'
    }  # fmt: skip
