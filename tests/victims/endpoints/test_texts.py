"""Endpoints that read texts, described by a template."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clonecost.config import make_spec, read_spec
from clonecost.data.text_rows import encode
from clonecost.errors import SpecError
from clonecost.types import as_pixels
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim

TEXTS = ["good soup", 'a "quoted" café', ""]
EXAMPLE = Path(__file__).parents[3] / "examples" / "endpoints" / "text.toml"


class Reviews(BaseHTTPRequestHandler):
    """A server that likes long texts; it keeps the bodies that it read."""

    bodies: ClassVar[list[Any]] = []  # of the one server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        texts = body["texts"] if "texts" in body else [body["text"]]
        found = [{"scores": [1 - len(t) / 100, len(t) / 100]} for t in texts]
        answer = json.dumps({"results": found}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Reviews.bodies.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Reviews)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/classify"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("many", [True, False])
def test_a_server_gets_the_strings_themselves(url: str, many: bool) -> None:
    settings = read_spec(EXAMPLE).endpoint
    assert settings is not None
    described = settings.model_copy(update={"url": url})
    if not many:
        described = described.model_copy(update={"body": {"text": "<p>$input</p>"},
                                                 "answers": "results[0].scores",
                                                 "batch_size": None})  # fmt: skip
    victim = endpoint_victim(url, input_shape=(20,), num_classes=2, settings=described, rate=1e6,
                             text=True)  # fmt: skip
    answers = victim.answer(as_pixels(encode(TEXTS, 20)))
    more = 0 if many else len("<p></p>")
    assert answers[:, 1].tolist() == pytest.approx([(len(t) + more) / 100 for t in TEXTS])
    sent = [text for body in Reviews.bodies for text in body.get("texts", [body.get("text")])]
    # after the first, requests are sent at once and arrive in any order; answers are in the rows'
    assert sorted(sent) == sorted(TEXTS if many else [f"<p>{text}</p>" for text in TEXTS])
    assert "text in" in victim.served


def test_a_description_that_sends_no_text_is_refused(url: str) -> None:
    for settings, said in (
        (EndpointSettings(url=url.replace("classify", "v2/models/reviews")),
         "how it reads one is not described"),
        (EndpointSettings(url=url, body={"x": "$inputs"}, answers="y", encoding="png"),
         "does not fit texts"),
        (EndpointSettings(url=url, body={"x": "$input"}, answers="y", send="file"), "file"),
    ):  # fmt: skip
        with pytest.raises(SpecError, match=said):
            endpoint_victim(str(settings.url), input_shape=(20,), num_classes=2,
                            settings=settings, text=True)  # fmt: skip
    spec = make_spec({"victim": "reviews", "test": "a.csv", "text_column": "t", "endpoint": {
        "url": url, "body": {"x": "$inputs"}, "answers": "y"}})  # fmt: skip
    assert spec.attack == ["text_knockoff"]
