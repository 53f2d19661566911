"""A model as an HTTP application: the Open Inference Protocol v2, with limits.

A request is checked in this order: token (401), size (413), form, shape and range (400), rate
(429). A request is refused as a whole, with `{"error": SENTENCE}`, before it reaches the model.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from aiolimiter import AsyncLimiter
from fastapi import Depends, FastAPI, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from torch import Tensor

from clonecost.errors import SetKey, SpecError, VictimError
from clonecost.serving.description import ANSWERED, refusals, request_body
from clonecost.serving.metrics import Metrics
from clonecost.serving.model import ServedModel
from clonecost.serving.protocol import RefusedError, decode, encode, metadata
from clonecost.version import __version__
from clonecost.victims.endpoints.wire import (
    EXTENSION,
    HEAD_LENGTH,
    Health,
    ModelMetadata,
    ServerMetadata,
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on one request, and on the rate of all requests together.

    Raises:
        SpecError: a limit is not above 0.

    Example:
        >>> Limits(max_rows=256, rate=100.0)
    """

    max_rows: int = 1024  # rows of one request
    max_bytes: int = 64 * 1024**2  # bytes of its body
    rate: float | None = None  # rows a second on average; a burst is `max_rows` or one second's

    def __post_init__(self) -> None:
        for name in ("max_rows", "max_bytes", "rate"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise SpecError(f"The limit {name} is out of range", SetKey(name), got=value,
                                want="a number above 0")  # fmt: skip


class ModelThread:
    """Runs the model in one thread, one request after the other.

    Requests are never merged: a batch's size changes the last bits of its answers, which must not
    depend on other clients. The thread uses as many of torch's threads as this process; by default
    a new thread would use all cores.
    """

    def __init__(self, model: ServedModel, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics
        set_threads = partial(torch.set_num_threads, torch.get_num_threads())
        self._thread = ThreadPoolExecutor(1, "model", initializer=set_threads)

    async def __call__(self, inputs: Tensor) -> Tensor:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, inputs)

    def _run(self, inputs: Tensor) -> Tensor:
        with self._metrics.in_model():
            return self._model(inputs)

    def close(self) -> None:
        """Wait for the request in progress, and end the thread."""
        self._thread.shutdown(cancel_futures=True)


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
    model: ServedModel, limits: Limits, *, token: str | None = None, metrics: Metrics | None = None
) -> FastAPI:
    """The application that serves `model`.

    Args:
        token: all addresses but health then need the header `Authorization: Bearer TOKEN`; None:
            no address needs one.
        metrics: the counts that `/metrics` shows; new ones by default.

    Example:
        >>> model = served_model(make_spec({"victim": "digits-lenet"}, asks=False))
        >>> app = make_app(model, Limits(max_rows=256))
        >>> with bind("127.0.0.1", 8000) as listening:
        ...     run(app, listening)
    """
    counts = metrics or Metrics()
    thread, throttle = ModelThread(model, counts), Throttle(limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        thread.close()

    app = FastAPI(title=f"clonecost serve {model.name}", version=__version__, lifespan=lifespan)
    _answer_errors(app, counts)
    bearer = HTTPBearer(auto_error=False)

    async def check_token(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        if token is None or (
            given and secrets.compare_digest(given.credentials.encode(), token.encode())
        ):
            return
        raise RefusedError(401, "send the header Authorization: Bearer TOKEN, with the right token",
                      {"WWW-Authenticate": "Bearer"})  # fmt: skip

    def guarded(*statuses: int) -> dict[str, Any]:
        """Settings of a route: the check of the token, and the refusals in its description."""
        if token is None:
            return {"responses": refusals(*statuses)}
        return {"dependencies": [Depends(check_token)], "responses": refusals(401, *statuses)}

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

    @app.get("/v2/models/{name}", **guarded(404))
    async def model_metadata(name: Name) -> ModelMetadata:
        check_name(name)
        return metadata(model)

    @app.get("/v2/models/{name}/ready", response_model_exclude_none=True, **guarded(404))
    async def model_ready(name: Name) -> Health:
        return Health(name=check_name(name), ready=True)

    @app.get("/metrics", response_class=Response, **guarded())
    async def prometheus() -> Response:
        return Response(counts.text(), media_type=CONTENT_TYPE_LATEST)

    settings = guarded(400, 404, 413, 429, 500)
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
        body = await _read(request, limits.max_bytes)
        message, inputs = await run_in_threadpool(decode, body, head_length, model, limits.max_rows)
        await throttle.admit(len(inputs))
        answers = await thread(inputs)
        content, headers = encode(model, message, answers)
        counts.answered(len(inputs))
        return Response(content, headers=headers)

    return app


async def _read(request: Request, max_bytes: int) -> bytearray:
    """The body of a request; the rest of a body that is too large is not kept.

    Raises:
        RefusedError: 413: the body has more than `max_bytes`.
    """
    sentence = f"at most {max_bytes:,} bytes in one request; send fewer rows, or send binary data"
    stated = request.headers.get("content-length", "0")
    if stated.isdigit() and int(stated) > max_bytes:
        raise RefusedError(413, sentence)
    body = bytearray()
    async for chunk in request.stream():  # a chunked body does not state its length
        body += chunk
        if len(body) > max_bytes:
            raise RefusedError(413, sentence)
    return body


def _answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error, of the application or of the framework, with {"error": SENTENCE}."""

    def response(status: int, sentence: str, headers: Any = None) -> Response:
        metrics.refused(status)
        return JSONResponse({"error": sentence}, status, headers)

    @app.exception_handler(RefusedError)
    async def refusal(_: Request, error: RefusedError) -> Response:
        return response(error.status, error.sentence, error.headers)

    @app.exception_handler(RequestValidationError)
    async def header(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return response(400, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(VictimError)
    async def broken(_: Request, error: VictimError) -> Response:
        return response(500, str(error))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return response(error.status_code, f"{request.method} {request.url.path}: {error.detail}",
                        error.headers)  # fmt: skip
