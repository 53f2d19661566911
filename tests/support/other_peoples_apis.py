"""Other people's APIs: the styles in which one model is served, each with the spec for it.

The images are scikit-learn's digits, 16 x 16 grey, in 8 bits; the rows of a table are those of
`TABLE`. An API reads the request as its own documentation says, and knows nothing of clonecost.
"""

import base64
import csv
import io
import json
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

Probs = np.ndarray[Any, np.dtype[Any]]
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = ("bad", "good")
EXAMPLES = Path(__file__).parents[2] / "examples" / "endpoints"


@cache
def digits() -> tuple[LogisticRegression, Probs, Probs]:
    """A model of digits, and test rows as (n, 16, 16) bytes with their labels."""
    data = load_digits()
    pixels = np.kron(np.round(data.images * 15.9375), np.ones((2, 2))).astype(np.uint8)
    model = LogisticRegression(max_iter=200).fit(pixels[:900].reshape(900, -1) / 255,
                                                 data.target[:900])  # fmt: skip
    return model, pixels[1600:], data.target[1600:]


@cache
def table() -> tuple[Any, pd.DataFrame, pd.Series]:
    """A pipeline with words in a column, and test rows with their labels."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "age": rng.integers(18, 90, 600).astype(float),
        "colour": rng.choice(["red", "green", "blue"], 600), "doors": rng.choice([2, 4], 600),
    })  # fmt: skip
    shift = frame.colour.map({"red": 30, "green": -30, "blue": 0}) + 8 * (frame.doors - 3)
    labels = pd.Series(np.where(frame.age + shift + rng.normal(0, 8, 600) > 54, "good", "bad"))
    encoder = ColumnTransformer(
        [("words", OneHotEncoder(), ["colour", "doors"])], remainder="passthrough"
    )
    model = make_pipeline(encoder, LogisticRegression(max_iter=500)).fit(frame[:400], labels[:400])
    return model, frame[400:].reset_index(drop=True), labels[400:].reset_index(drop=True)


def of_files(files: list[bytes]) -> Probs:
    pixels = [np.asarray(Image.open(io.BytesIO(one)).convert("L")).ravel() for one in files]
    return np.asarray(digits()[0].predict_proba(np.stack(pixels) / 255))


def of_base64(texts: list[str]) -> Probs:
    return of_files([base64.b64decode(text) for text in texts])


def of_frame(frame: pd.DataFrame) -> Probs:
    return np.asarray(table()[0].predict_proba(frame))


def ranked(row: Probs, names: tuple[str, ...], label: str, score: str, scale: float = 1) -> Any:
    return [{label: names[k], score: scale * float(row[k])} for k in (-row).argsort()]


def fields(media: str, body: bytes) -> list[bytes]:
    """The files of a form."""
    head = f"Content-Type: {media}\r\n\r\n".encode()
    parts = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
    return [part.get_content() for part in parts if part.get_filename()]


@dataclass(frozen=True)
class OtherApi:
    """An API: what it answers to a body, and the spec that describes it.

    Attributes:
        reply: (media type, body) -> (media type, body).
        spec: its keys, or the name of an example.
    """

    reply: Callable[[str, bytes], tuple[str, Any]]
    spec: dict[str, Any] | str
    images: bool = True

    @property
    def keys(self) -> dict[str, Any]:
        """The keys of the spec."""
        if isinstance(self.spec, dict):
            return self.spec
        return tomllib.loads((EXAMPLES / f"{self.spec}.toml").read_text(encoding="utf-8"))


def _json(make: Callable[[Any], Any]) -> Callable[[str, bytes], tuple[str, Any]]:
    return lambda _, body: ("application/json", make(json.loads(body)))


def _sagemaker(media: str, body: bytes) -> tuple[str, Any]:
    lines = csv.reader(io.StringIO(body.decode()))
    frame = pd.DataFrame([[float(a), b, int(c)] for a, b, c in lines],
                         columns=["age", "colour", "doors"])  # fmt: skip
    text = "".join(f"{float(a)},{float(b)}\n" for a, b in of_frame(frame))
    return "text/csv; charset=utf-8", text.encode()


def _mlflow(sent: Any) -> Any:
    (kind,) = sent
    if kind == "inputs":
        values = np.array(sent["inputs"], np.float32).reshape(-1, 256)
        return {"predictions": digits()[0].predict_proba(values).tolist()}
    assert kind == "dataframe_split"
    return {"predictions": of_frame(pd.DataFrame(**sent[kind])).tolist()}


APIS: dict[str, OtherApi] = {
    "scikit-learn records": OtherApi(
        _json(lambda sent: {"answers": [dict(zip(WORDS, row, strict=True)) for row in
                                        of_frame(pd.DataFrame(sent["rows"])).tolist()]}),
        {"endpoint": {"body": {"rows": "$inputs"}, "answers": "answers", "classes": WORDS}},
        images=False,
    ),
    "Azure": OtherApi(
        _json(lambda sent: json.dumps({"result": of_frame(pd.DataFrame(
            sent["data"], columns=["age", "colour", "doors"])).tolist()})),
        {"endpoint": {"body": {"data": "$inputs"}, "encoding": "array", "answers": "result",
                      "classes": WORDS}},
        images=False,
    ),
    "SageMaker": OtherApi(
        _sagemaker, {"endpoint": {"body": "$inputs", "send": "csv", "classes": WORDS}},
        images=False,
    ),
    "MLflow table": OtherApi(_json(_mlflow), "mlflow_table", images=False),
    "MLflow": OtherApi(_json(_mlflow), "mlflow"),
    "Hugging Face": OtherApi(
        lambda _, body: ("application/json",
                         ranked(of_files([body])[0], DIGITS, "label", "score")),
        "hugging_face",
    ),
    "TorchServe": OtherApi(
        lambda media, body: ("application/json",
                             {DIGITS[k]: float(p) for k, p in
                              enumerate(of_files(fields(media, body))[0])}),
        "torchserve",
    ),
    "upload of several": OtherApi(
        lambda media, body: ("application/json",
                             [{"file": f"{k}.png", "probabilities": row.tolist()} for k, row in
                              enumerate(of_files(fields(media, body)))]),
        "multipart_upload",
    ),
    "TensorFlow Serving": OtherApi(
        _json(lambda sent: {"predictions": digits()[0].predict_proba(
            np.array(sent["instances"]).reshape(-1, 256)).tolist()}),
        "tensorflow_serving",
    ),
    "Vertex": OtherApi(
        _json(lambda sent: {"deployedModelId": "7", "model": None, "predictions": [
            {"ids": None, "displayNames": [one["n"] for one in ranked(row, DIGITS, "n", "s")],
             "confidences": [one["s"] for one in ranked(row, DIGITS, "n", "s")]}
            for row in of_base64([one["content"] for one in sent["instances"]])]}),
        "vertex",
    ),
    "base64": OtherApi(
        _json(lambda sent: {"scores": dict(zip(DIGITS, of_base64([sent["image"]])[0].tolist(),
                                               strict=True)), "format": sent["format"]}),
        "base64_json",
    ),
    "five words": OtherApi(
        _json(lambda sent: {"labels": ranked(of_base64([sent["image"]])[0], DIGITS, "name",
                                             "confidence")[:5]}),
        "top_five_words",
    ),
    "Roboflow": OtherApi(
        _json(lambda sent: {"time": 0.1, "predictions": ranked(
            of_base64([sent["image"].removeprefix("data:image/png;base64,")])[0], DIGITS,
            "class", "confidence", 100)}),
        "percentages",
    ),
    "several labels": OtherApi(
        _json(lambda sent: {"labels": dict(zip(DIGITS, np.sqrt(
            of_base64([sent["image"]])[0]).tolist(), strict=True))}),
        "multi_label",
    ),
    "one number": OtherApi(
        _json(lambda sent: {"score": float(of_base64([sent["image"]])[0, 5:].sum())}),
        "binary_score",
    ),
}  # fmt: skip


@contextmanager
def serving_other(api: OtherApi) -> Iterator[str]:
    """The API on a free port of 127.0.0.1; its address."""

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # else a body waits 40 ms for the client to confirm its head

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ping" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            media, reply = api.reply(self.headers["Content-Type"], sent)
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/predict"
        server.shutdown()
