"""A model as an HTTP application: the Open Inference Protocol v2, with limits.

A request is checked in this order: host (400), origin (403), token (401), compression (415), name
of the model (404), then as the body arrives its time (408), size (413) and the server's memory
(503), then form and shape (400), number of rows (413), range (400), rate (429). It is refused as a
whole, with `{"error": SENTENCE}`, before it reaches the model.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar

import torch
from aiolimiter import AsyncLimiter
from fastapi import Depends, FastAPI, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.serving.description import ANSWERED, refusals, request_body
from clonecost.serving.gate import Errors, Gate, Parts
from clonecost.serving.limits import JsonCount, Limits, Memory
from clonecost.serving.metrics import Metrics
from clonecost.serving.model import ServedModel
from clonecost.serving.protocol import RefusedError, decode, encode, metadata
from clonecost.serving.reading import read
from clonecost.version import __version__
from clonecost.victims.endpoints.wire import (
    EXTENSION,
    HEAD_LENGTH,
    Health,
    ModelMetadata,
    ServerMetadata,
)

Given = ParamSpec("Given")
Made = TypeVar("Made")


class Thread:
    """One thread, for one thing after the other."""

    def __init__(self, name: str, initializer: Callable[[], object] | None = None) -> None:
        self._thread = ThreadPoolExecutor(1, name, initializer=initializer)

    async def __call__(
        self, work: Callable[Given, Made], *args: Given.args, **settings: Given.kwargs
    ) -> Made:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args, **settings))

    def close(self) -> None:
        """Wait for the work in progress, and end the thread."""
        self._thread.shutdown(cancel_futures=True)


class ModelThread:
    """Runs the model in one thread, one request after the other.

    Requests are never merged: a batch's size changes the last bits of its answers, which must not
    depend on other clients. The thread uses as many of torch's threads as this process; by default
    a new thread would use all cores.
    """

    def __init__(self, model: ServedModel, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics
        set_threads = partial(torch.set_num_threads, torch.get_num_threads())
        self._thread = Thread("model", set_threads)
        self.close = self._thread.close

    async def __call__(self, inputs: Tensor) -> Tensor:
        return await self._thread(self._run, inputs)

    def _run(self, inputs: Tensor) -> Tensor:
        with self._metrics.in_model():
            return self._model(inputs)


class Throttle:
    """Limits the rows a second; without a rate it admits every request."""

    def __init__(self, limits: Limits) -> None:
        self._rate = limits.rate
        if self._rate is not None:
            # a full bucket admits a request of the largest size, which could never pass otherwise
            burst = max(self._rate, limits.max_rows)
            self._bucket = AsyncLimiter(burst, burst / self._rate)

    async def admit(self, rows: int) -> None:
        """Count these rows.

        Raises:
            RefusedError: 429: the rows exceed the rate; they are not counted then.
        """
        if self._rate is None:
            return
        if not self._bucket.has_capacity(rows):
            wait = math.ceil(rows / self._rate)  # after that, any bucket has room for these rows
            raise RefusedError(
                429, f"at most {self._rate:g} rows a second; send the request again in {wait} s",
                {"Retry-After": str(wait)},
            )  # fmt: skip
        await self._bucket.acquire(rows)


def make_app(
    model: ServedModel, limits: Limits, *, token: str | None = None,
    hosts: Iterable[str] = (), metrics: Metrics | None = None,
) -> FastAPI:  # fmt: skip
    """The application that serves `model`.

    Args:
        hosts: the names by which clients may call the server, beside localhost and the address
            that a connection reaches.
        token: all addresses but health then need the header `Authorization: Bearer TOKEN`; None:
            no address needs one.
        metrics: the counts that `/metrics` shows; new ones by default.

    Example:
        >>> model = served_model(make_spec({"victim": "digits-lenet"}, asks=False))
        >>> app = make_app(model, Limits(max_rows=256))
        >>> with bind("127.0.0.1", 8000) as listening:
        ...     run(app, listening, Limits())
    """
    counts = metrics or Metrics()
    answers, throttle = ModelThread(model, counts), Throttle(limits)
    decoding = Thread("decode")  # one at a time: the objects of one large JSON body take memory

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        decoding.close()
        answers.close()

    app = FastAPI(
        title=f"clonecost serve {model.name}", version=__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None,  # pages whose scripts come from another server
    )  # fmt: skip
    errors = Errors(counts)
    _answer_errors(app, errors)
    memory = Memory(limits.held_bytes)
    app.add_middleware(Gate, hosts=hosts, token=token, memory=memory, errors=errors)
    bearer = HTTPBearer(auto_error=False)  # described here, checked by the gate

    def guarded(*statuses: int) -> dict[str, Any]:
        """Settings of a route: the token and the refusals in its description."""
        if token is None:
            return {"responses": refusals(*statuses)}
        return {"dependencies": [Depends(bearer)], "responses": refusals(401, *statuses)}

    Name = Annotated[str, Path(json_schema_extra={"enum": [model.name], "example": model.name})]

    def check_name(name: str) -> str:
        if name != model.name:
            raise RefusedError(404, f"unknown model: got {name!r}, want {model.name!r}")
        return name

    @app.get("/v2/health/live", response_model_exclude_none=True)
    async def live() -> Health:
        return Health(live=True)

    @app.get("/v2/health/ready", response_model_exclude_none=True)
    async def ready() -> Health:
        return Health(ready=True)

    @app.get("/v2", **guarded())
    async def server() -> ServerMetadata:
        return ServerMetadata(name="clonecost", version=__version__, extensions=[EXTENSION])

    @app.get("/v2/models/{name}", response_model_exclude_none=True, **guarded(404))
    async def model_metadata(name: Name) -> ModelMetadata:
        check_name(name)
        return metadata(model)

    @app.get("/v2/models/{name}/ready", response_model_exclude_none=True, **guarded(404))
    async def model_ready(name: Name) -> Health:
        return Health(name=check_name(name), ready=True)

    @app.get("/metrics", response_class=Response, **guarded())
    async def prometheus() -> Response:
        return Response(counts.text(), media_type=CONTENT_TYPE_LATEST)

    settings = guarded(400, 404, 408, 413, 415, 429, 500, 503)
    settings["responses"][200] = ANSWERED
    settings["openapi_extra"] = {
        "requestBody": request_body(model, limits.max_rows, limits.max_bytes)
    }

    @app.post("/v2/models/{name}/infer", **settings)
    async def infer(
        name: Name,
        request: Request,
        head_length: Annotated[int | None, Header(alias=HEAD_LENGTH, ge=0)] = None,
    ) -> Response:
        check_name(name)
        count, share = JsonCount(model.api, limits.max_rows), request.state.share
        body = await read(request, limits, share, count, head_length)
        message, inputs = await decoding(decode, body, head_length, model, limits.max_rows)
        del body
        share.hold(inputs.nbytes)
        await throttle.admit(len(inputs))
        found = await answers(inputs)
        content, headers = await decoding(encode, model, message, found)
        share.hold(len(content))
        counts.answered(len(inputs))
        return Parts(content, headers=headers)

    return app


def _answer_errors(app: FastAPI, errors: Errors) -> None:
    """Answer every error, of the application or of the framework, with {"error": SENTENCE}."""

    @app.exception_handler(RefusedError)
    async def refusal(_: Request, error: RefusedError) -> Response:
        return errors.refused(error)

    @app.exception_handler(RequestValidationError)
    async def header(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return errors.answer(400, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(VictimError)
    async def broken(_: Request, error: VictimError) -> Response:
        return errors.failed(error)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        sentence = f"{request.method} {request.url.path}: {error.detail}"
        return errors.answer(error.status_code, sentence, dict(error.headers or {}))
