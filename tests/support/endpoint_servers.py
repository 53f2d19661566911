"""Small real servers on this machine: what an owner's endpoint does, and all that ails one."""

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

HEAD_LENGTH = "Inference-Header-Content-Length"
DTYPES = {"FP32": "<f4", "FP64": "<f8", "FP16": "<f2", "UINT8": "u1"}
Model = Callable[[Tensor], Tensor]
# What may befall a request: played once each, in this order, before the server answers again.
#   ("status", code, headers, body)  served, if 5xx, and then answered so
#   "reset"                          served, and the connection is cut
#   "slow"                           served, and the answer comes after a second
#   "half"                           served, and half of the answer comes
Scene = tuple[str, int, dict[str, str], str] | str


class RefusalError(Exception):
    """What a model raises to have its server refuse a request: (status, text)."""


@dataclass
class Server:
    """A model behind HTTP; `rows` counts every row that it worked on, answered or not."""

    model: Model
    shape: list[int]
    classes: int
    binary: bool = True
    datatype: str = "FP32"
    names_classes: bool = False  # answers are INT64 numbers of classes, not scores
    scenes: list[Scene] = field(default_factory=list)
    spoil: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = lambda scores: scores
    reply: Callable[[Tensor], Any] | None = None  # of the JSON API: scores -> document
    metadata: dict[str, Any] | None = None
    root_status: int = 200  # of the server's own address, /v2
    most_rows: int = 1_000
    rows: int = 0
    requests: list[tuple[float, str, dict[str, str], int]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()

    @property
    def model_url(self) -> str:
        return f"{self.url}/v2/models/toy"


def v2_metadata(server: Server) -> dict[str, Any]:
    return server.metadata or {
        "name": "toy", "versions": ["1"], "platform": "test",
        "inputs": [{"name": "image", "datatype": server.datatype, "shape": [-1, *server.shape]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, server.classes]}],
    }  # fmt: skip


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, answering on a free port of 127.0.0.1."""
    handler = type("Bound", (Handler,), {"owner": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.daemon_threads = True
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
        yield server
        httpd.shutdown()


def free_port() -> int:
    """One where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the client to confirm its head
    owner: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._note(0)
        if self.path == "/v2" and self.owner.root_status != 200:
            self._send(self.owner.root_status, b"no upstream", {})
        elif self.path == "/v2":
            extensions = ["binary_tensor_data"] if self.owner.binary else []
            self._json(200, {"name": "test", "version": "1", "extensions": extensions})
        elif self.path in ("/v2/models/toy", "/v2/models/toy/versions/3"):
            self._json(200, v2_metadata(self.owner))
        else:
            self._json(404, {"error": f"no {self.path} here, you sent {dict(self.headers)}"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        inputs = self._inputs(body)
        with self.owner.lock:
            scene = self.owner.scenes.pop(0) if self.owner.scenes else "answered"
        if len(inputs) > self.owner.most_rows:
            scene = ("status", 413, {}, f"at most {self.owner.most_rows} rows")
        scores = Tensor()
        if scene in ("answered", "half"):
            try:
                scores = self.owner.model(inputs)
            except RefusalError as refusal:
                scene = ("status", refusal.args[0], {}, refusal.args[1])
        served = isinstance(scene, str) or scene[1] >= 500
        self._note(len(inputs) if served else 0)
        if not isinstance(scene, str):
            _, code, headers, text = scene
            self._send(code, text.encode(), {"Content-Type": "text/plain", **headers})
            return
        if scene == "slow":
            time.sleep(1)
        if scene == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if scene == "slow":
            scores = self.owner.model(inputs)
        self._answer(scores, cut=scene == "half")

    do_PUT = do_POST

    def _inputs(self, body: bytes) -> Tensor:
        if not self.path.endswith("/infer"):
            document = json.loads(body)
            self.owner.bodies.append(document)
            return torch.stack([pixels(one, self.owner.shape) for one in encoded(document)])
        length = self.headers.get(HEAD_LENGTH)
        head = json.loads(body if length is None else body[: int(length)])
        self.owner.bodies.append(head)
        (tensor,) = head["inputs"]
        dtype = DTYPES[tensor["datatype"]]
        if length is None:
            values = np.array(tensor["data"], dtype)
        else:
            values = np.frombuffer(body[int(length) :], dtype)
            assert values.nbytes == tensor["parameters"]["binary_data_size"]
        return torch.from_numpy(values.reshape(tensor["shape"]).astype(np.float32))

    def _answer(self, scores: Tensor, *, cut: bool) -> None:
        if not self.path.endswith("/infer"):
            assert self.owner.reply is not None
            self._send(200, json.dumps(self.owner.reply(scores)).encode(), {}, cut=cut)
            return
        found = scores.argmax(1, keepdim=True) if self.owner.names_classes else scores
        kind, dtype = ("INT64", "<i8") if self.owner.names_classes else ("FP32", "<f4")
        values = self.owner.spoil(found.detach().numpy().astype(dtype))
        output: dict[str, Any] = {
            "name": "scores", "datatype": kind, "shape": list(values.shape)
        }  # fmt: skip
        asked = self.owner.bodies[-1]["outputs"][0].get("parameters", {})
        if not (self.owner.binary and asked.get("binary_data")):
            output["data"] = values.ravel().tolist()
            self._send(200, json.dumps({"outputs": [output]}).encode(), {}, cut=cut)
            return
        raw = values.tobytes()
        output["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps({"model_name": "toy", "outputs": [output]}).encode()
        self._send(200, head + raw, {HEAD_LENGTH: str(len(head))}, cut=cut)

    def _json(self, code: int, document: Any) -> None:
        self._send(code, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def _note(self, rows: int) -> None:
        with self.owner.lock:
            self.owner.rows += rows
            said = {name.lower(): value for name, value in self.headers.items()}
            self.owner.requests.append((time.monotonic(), self.path, said, rows))


def encoded(document: Any) -> list[Any]:
    """What a home-made API finds in a request: its one image, or the list of them."""
    if "image" in document:
        return [document["image"]]
    return [one["b64"] if isinstance(one, dict) else one for one in document["instances"]]


def pixels(one: Any, shape: list[int]) -> Tensor:
    """A file in base64, or nested lists -> (C, H, W) in [0, 1], as the API would read it."""
    if isinstance(one, list):
        values = torch.tensor(one)
        return values / 255 if values.dtype == torch.int64 else values.float()
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(one))))
    image = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1).reshape(shape)
