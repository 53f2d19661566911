"""A model as an HTTP application: the Open Inference Protocol v2, with limits in front.

A request passes: token (401) -> size (413) -> form, shape, range (400) -> rate (429) -> the model.
Whatever is refused is refused whole, with `{"error": one sentence}`, before the model is asked.
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

from clonecost.errors import SpecError, VictimError
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
    """What one request may hold, and how fast all of them together may come.

    Raises:
        SpecError: one of them is not above 0.
    """

    max_rows: int = 1024  # of one request
    max_bytes: int = 64 * 1024**2  # of its body
    rate: float | None = None  # rows a second on average; bursts of `max_rows` or a second's worth

    def __post_init__(self) -> None:
        for name in ("max_rows", "max_bytes", "rate"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                flag = name.replace("_", "-")
                raise SpecError(f"--{flag} {value}: want a number above 0")


class Answering:
    """The model in a thread of its own, one request after the other.

    Requests are never merged: a batch's size moves the last bits of its answers, which must not
    depend on who else is asking. With torch's threads as this process has them: a new thread would
    take all cores.
    """

    def __init__(self, model: ServedModel, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics
        set_threads = partial(torch.set_num_threads, torch.get_num_threads())
        self._thread = ThreadPoolExecutor(1, "model", initializer=set_threads)

    async def __call__(self, inputs: Tensor) -> Tensor:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, inputs)

    def _ask(self, inputs: Tensor) -> Tensor:
        with self._metrics.in_model():
            return self._model(inputs)

    def close(self) -> None:
        """Waits for the answer that is under way."""
        self._thread.shutdown(cancel_futures=True)


class Throttle:
    """Rows a second; without a rate everything passes."""

    def __init__(self, limits: Limits) -> None:
        self._rate = limits.rate
        if self._rate is not None:
            # a full bucket holds one request of the largest size, else that could never pass
            burst = max(self._rate, limits.max_rows)
            self._bucket = AsyncLimiter(burst, burst / self._rate)

    async def admit(self, rows: int) -> None:
        """Raises RefusedError 429 when they come too fast; these rows then did not count."""
        if self._rate is None:
            return
        if not self._bucket.has_capacity(rows):
            wait = math.ceil(rows / self._rate)  # by then that many have leaked from any bucket
            raise RefusedError(
                429, f"at most {self._rate:g} rows a second: ask again in {wait} s",
                {"Retry-After": str(wait)},
            )  # fmt: skip
        await self._bucket.acquire(rows)


def make_app(
    model: ServedModel, limits: Limits, *, token: str | None = None, metrics: Metrics | None = None
) -> FastAPI:
    """The application that serves `model`.

    Args:
        token: clients must send `Authorization: Bearer TOKEN`, for all but health; None: anybody
            may ask.
        metrics: what `/metrics` tells; a new one by default.
    """
    told = metrics or Metrics()
    answering, throttle = Answering(model, told), Throttle(limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        answering.close()

    app = FastAPI(title=f"clonecost serve {model.name}", version=__version__, lifespan=lifespan)
    _answer_errors(app, told)
    bearer = HTTPBearer(auto_error=False)

    async def allowed(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        if token is None or (
            given and secrets.compare_digest(given.credentials.encode(), token.encode())
        ):
            return
        raise RefusedError(401, "send the header Authorization: Bearer TOKEN, with the right token",
                      {"WWW-Authenticate": "Bearer"})  # fmt: skip

    def guarded(*statuses: int) -> dict[str, Any]:
        """Settings of a route: who may use it, and the refusals that its description names."""
        if token is None:
            return {"responses": refusals(*statuses)}
        return {"dependencies": [Depends(allowed)], "responses": refusals(401, *statuses)}

    Name = Annotated[str, Path(json_schema_extra={"enum": [model.name], "example": model.name})]

    def known(name: str) -> str:
        if name != model.name:
            raise RefusedError(404, f"no model {name!r} here; this server has {model.name!r}")
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
        known(name)
        return metadata(model)

    @app.get("/v2/models/{name}/ready", response_model_exclude_none=True, **guarded(404))
    async def model_ready(name: Name) -> Health:
        return Health(name=known(name), ready=True)

    @app.get("/metrics", response_class=Response, **guarded())
    async def prometheus() -> Response:
        return Response(told.text(), media_type=CONTENT_TYPE_LATEST)

    of_infer = guarded(400, 404, 413, 429, 500)
    of_infer["responses"][200] = ANSWERED
    of_infer["openapi_extra"] = {
        "requestBody": request_body(model, limits.max_rows, limits.max_bytes)
    }

    @app.post("/v2/models/{name}/infer", **of_infer)
    async def infer(
        name: Name,
        request: Request,
        head_length: Annotated[int | None, Header(alias=HEAD_LENGTH, ge=0)] = None,
    ) -> Response:
        known(name)
        body = await _read(request, limits.max_bytes)
        question, inputs = await run_in_threadpool(
            decode, body, head_length, model, limits.max_rows
        )
        await throttle.admit(len(inputs))
        answers = await answering(inputs)
        content, headers = encode(model, question, answers)
        told.answered(len(inputs))
        return Response(content, headers=headers)

    return app


async def _read(request: Request, most: int) -> bytearray:
    """The body, as long as it is not too large; what is too large is not kept."""
    sentence = f"at most {most:,} bytes in one request: send fewer rows, or send them in binary"
    stated = request.headers.get("content-length", "0")
    if stated.isdigit() and int(stated) > most:
        raise RefusedError(413, sentence)
    body = bytearray()
    async for chunk in request.stream():  # a chunked body does not state its length
        body += chunk
        if len(body) > most:
            raise RefusedError(413, sentence)
    return body


def _answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Every error is {"error": sentence}, whoever found it."""

    def said(status: int, sentence: str, headers: Any = None) -> Response:
        metrics.refused(status)
        return JSONResponse({"error": sentence}, status, headers)

    @app.exception_handler(RefusedError)
    async def refusal(_: Request, error: RefusedError) -> Response:
        return said(error.status, error.sentence, error.headers)

    @app.exception_handler(RequestValidationError)
    async def header(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return said(400, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(VictimError)
    async def broken(_: Request, error: VictimError) -> Response:
        return said(500, str(error))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return said(error.status_code, f"{request.method} {request.url.path}: {error.detail}",
                    error.headers)  # fmt: skip
