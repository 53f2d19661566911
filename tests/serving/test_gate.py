"""Who may ask, and what a refusal or a failure tells."""

import gzip
import json
from collections.abc import Callable, Iterator

import httpx2
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from tests.support.live_server import client_of, in_json, live
from tests.support.toys import CLASSES, SHAPE, uniform
from torch import Tensor

from clonecost.serving import Limits, ServedModel, make_app
from clonecost.serving.gate import THIS_MACHINE, check_host, check_token
from clonecost.serving.protocol import RefusedError
from clonecost.types import PredictionApi

INFER = "/v2/models/toy/infer"
ROWS = torch.rand(2, *SHAPE)
SECRET = "the model's words: row 17 is Jane Doe"


def toy(victim: object = None) -> ServedModel:
    api = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)
    return ServedModel(name="toy", victim=victim or uniform(CLASSES), api=api)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    model = make_app(toy(), Limits(), hosts=["models.example", "::2"])
    with live(model) as url, httpx2.Client(base_url=url) as found:
        yield found


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", INFER, "/openapi.json", "/nothing"])
def test_a_host_of_somebody_else_is_refused(path: str, client: httpx2.Client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::1"):
        refused = client.request("POST" if path == INFER else "GET", path, headers={"Host": host})
        assert refused.status_code == 400
        assert "this server has no such name" in refused.json()["error"]


def test_its_own_names_are_allowed(client: httpx2.Client) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "models.example",
                 "models.example.:443", "[::2]"):  # fmt: skip
        assert client.get("/v2", headers={"Host": host}).status_code == 200, host


def refusal(check: Callable[[], None]) -> RefusedError | None:
    try:
        check()
    except RefusedError as error:
        return error
    return None


anything = st.text(st.characters(codec="latin-1"))


@given(anything | st.from_regex(r"[a-z.:\[\]0-9@/]+", fullmatch=True))
@example("localhost")
@example("[::1]:80")
@example("localhost.evil.example")
@example("evil.example:80@localhost")
@example("evil.example/localhost")
@example("localhost\x00")
def test_only_a_name_of_the_server_passes(host: str) -> None:
    name, _, port = host.strip().lower().rpartition(":")
    name = name if port.isdigit() else host.strip().lower()
    own = name.removesuffix(".") in {"localhost", "127.0.0.1", "[::1]"}
    headers = Headers(raw=[(b"host", host.encode("latin-1"))])
    refused = refusal(lambda: check_host(headers, THIS_MACHINE))
    assert (refused is None) == own
    assert refused is None or refused.status == 400


def test_a_page_of_somebody_else_is_refused(client: httpx2.Client) -> None:
    for origin in ("https://evil.example", "null", "http://evil.example:8000"):
        assert client.get("/v2", headers={"Origin": origin}).status_code == 403
    assert client.get("/v2", headers={"Origin": "http://localhost:3000"}).status_code == 200


def test_two_hosts_or_none_are_refused(client: httpx2.Client) -> None:
    for raw in ([], [(b"host", b"localhost"), (b"host", b"evil.example")]):
        with pytest.raises(RefusedError, match="no such name"):
            check_host(Headers(raw=raw), THIS_MACHINE)


def test_a_token_guards_every_address_but_health() -> None:
    with client_of(toy(), token="s3cret") as client:
        for path in ("/", "/v2", "/metrics", "/docs", "/redoc", "/openapi.json", "/v2/models/toy",
                     "/v2/models/other", "/v2/models/toy/ready", "/v2/health/live/", "/nothing",
                     "//v2/health/live", "/v2/health/../models/toy"):  # fmt: skip
            for method in ("GET", "POST", "OPTIONS", "DELETE"):
                refused = client.request(method, path)
                assert refused.status_code == 401, (method, path)
                assert "toy" not in refused.text
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        right = {"Authorization": "bearer s3cret"}
        assert "/v2/models/{name}/infer" in client.get("/openapi.json", headers=right).text
        for path in ("/docs", "/redoc"):  # they would load scripts from another server
            assert client.get(path, headers=right).status_code == 404


@given(anything, st.text(min_size=1))
@example("Bearer s3cret", "s3cret")
@example("Bearer ", "x")
@example("Basic x", "x")
@example("x", "x")
def test_only_the_whole_token_passes(header: str, token: str) -> None:
    right = header.lower().startswith("bearer ") and header[7:].strip() == token
    refused = refusal(lambda: check_token(header, token))
    assert (refused is None) == right
    assert refused is None or refused.status == 401


def test_a_compressed_body_is_refused_before_it_is_read(client: httpx2.Client) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        refused = client.post(INFER, content=bomb, headers={"Content-Encoding": encoding})
        assert refused.status_code == 415
        assert "without Content-Encoding" in refused.json()["error"]
    body = json.dumps(in_json(ROWS)).encode()
    plain = client.post(INFER, content=body, headers={"Content-Encoding": "identity"})
    assert plain.status_code == 200


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), MemoryError(SECRET)])
def test_no_word_of_a_models_error_reaches_a_client(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Tensor, /) -> Tensor:
        raise error

    with client_of(toy(broken)) as client:
        said = client.post(INFER, json=in_json(ROWS))
        assert client.get("/v2").status_code == 200
    assert said.status_code == 500
    assert "failed; the server's log has the reason, id " in said.json()["error"]
    assert "Jane" not in said.text
    number = said.json()["error"].rpartition(" ")[2]
    assert any(number in one.getMessage() and one.exc_info for one in caplog.records)


def test_a_requests_own_words_do_not_swell_the_answer(client: httpx2.Client) -> None:
    for changes in ({"name": "x" * 10_000}, {"shape": [1] * 250}, {"datatype": "y" * 10_000}):
        refused = client.post(INFER, json=in_json(ROWS, **changes))
        assert refused.status_code == 400
        assert len(refused.text) < 700
        assert "want" in refused.json()["error"]
    refused = client.post(INFER, json={**in_json(ROWS), "id": "x" * 1001})
    assert "got 1,001 characters, want at most 1,000" in refused.json()["error"]
