"""A served model on a real socket of this machine, for as long as a test needs it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import numpy as np
from fastapi import FastAPI
from torch import Tensor

from clonecost.serving import Limits, ServedModel, address_of, bind, make_app, server
from clonecost.victims.endpoints.wire import HEAD_LENGTH


@contextmanager
def live(app: FastAPI, limits: Limits | None = None) -> Iterator[str]:
    """Its base URL."""
    listening = bind("127.0.0.1", 0)
    running = server(app, limits or Limits())
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield address_of(listening)
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def client_of(
    model: ServedModel, limits: Limits | None = None, token: str | None = None
) -> Iterator[httpx2.Client]:
    with (
        live(make_app(model, limits or Limits(), token=token), limits) as url,
        httpx2.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def in_json(x: Tensor, **changes: object) -> dict[str, object]:
    """The body of a request; `changes` go into its input."""
    tensor = {"name": "pixels", "datatype": "FP32", "shape": list(x.shape),
              "data": x.flatten().tolist()}  # fmt: skip
    return {"inputs": [{**tensor, **changes}]}


def in_binary(x: Tensor, *, answer: bool = True) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a request whose tensor follows the head; so may the answer's."""
    tail = x.numpy().astype("<f4").tobytes()
    head = json.dumps({
        "parameters": {"binary_data_output": answer},
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": list(x.shape),
                    "parameters": {"binary_data_size": len(tail)}}],
    }).encode()  # fmt: skip
    return head + tail, {HEAD_LENGTH: str(len(head))}


def answers(response: httpx2.Response) -> np.ndarray:
    """(n, K) float32 of either form."""
    assert response.status_code == 200, response.text
    length = response.headers.get(HEAD_LENGTH)
    head = json.loads(response.content[: int(length)] if length else response.content)
    (output,) = head["outputs"]
    if length:
        tail = response.content[int(length) :]
        assert output["parameters"]["binary_data_size"] == len(tail)
        values = np.frombuffer(tail, "<f4")
    else:
        values = np.array(output["data"], dtype=np.float32)
    return values.reshape(output["shape"])
