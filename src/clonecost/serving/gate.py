"""The first and the last step of every request: the checks of its sender, and its failure.

Before a request reaches a route: its host (400), its origin (403), the token (401), its encoding
(415). A failure is logged with its traceback under an id; the client gets the id alone, because
the words of a model's error may be its data.
"""

import logging
import re
import secrets
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clonecost.errors import VictimError
from clonecost.serving.limits import Memory
from clonecost.serving.metrics import Metrics
from clonecost.serving.protocol import RefusedError

THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
HEALTH = ("/v2/health/live", "/v2/health/ready")
PART = 65_536  # bytes of an answer that are handed over at a time
LONGEST = 480  # characters of a sentence; a request's own words in it are as long as it likes

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/@\[\]]+?)\.?)(?::\d{1,5})?", re.IGNORECASE)
_log = logging.getLogger(__name__)


class Errors:
    """The answers to refused and failed requests: `{"error": SENTENCE}`, counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def refused(self, error: RefusedError) -> Response:
        """The answer to a request that the server does not take."""
        return self.answer(error.status, error.sentence, error.headers)

    def failed(self, error: Exception) -> Response:
        """The answer to a request that the model or the server failed on."""
        number = secrets.token_hex(4)
        _log.error("request %s failed: %s", number, error, exc_info=error)
        who = "model" if isinstance(error, VictimError) else "server"
        return self.answer(500, f"the {who} failed; the server's log has the reason, id {number}")

    def answer(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
        """An answer of this status and sentence."""
        self._metrics.refused(status)
        if len(sentence) > LONGEST:
            half = LONGEST // 2
            sentence = f"{sentence[:half]} ... {sentence[-half:]}"
        return JSONResponse({"error": sentence}, status, headers)


class Parts(Response):
    """A response that is handed over in parts, so that what a client does not take is not copied.

    The server waits with the next part until the client has taken the last one.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code,
                    "headers": self.raw_headers})  # fmt: skip
        for at in range(0, max(1, len(self.body)), PART):
            await send({"type": "http.response.body", "body": bytes(self.body[at : at + PART]),
                        "more_body": at + PART < len(self.body)})  # fmt: skip


class Gate:
    """The middleware around all routes.

    Args:
        hosts: names of this server beside those of this machine and the connection's address.
        token: what every request but one for health brings; None: no token is needed.
        memory: a request has a share of it, `request.state.share`, until its answer is sent.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], token: str | None, memory: Memory,
        errors: Errors,
    ) -> None:  # fmt: skip
        self._app, self._token, self._memory, self._errors = app, token, memory, errors
        self._hosts = THIS_MACHINE | {host.lower().strip("[]") for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        with self._memory.share() as share:
            scope.setdefault("state", {})["share"] = share
            try:
                self._check(scope)
                await self._app(scope, receive, sending)
            except ClientDisconnect:
                return
            except RefusedError as error:
                await self._errors.refused(error)(scope, receive, send)
            except Exception as error:
                answer = self._errors.failed(error)
                if started:
                    raise
                await answer(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        server = scope.get("server")
        hosts = self._hosts | ({server[0].lower()} if server else set())
        check_host(headers, hosts)
        if self._token is not None and scope["path"] not in HEALTH:
            check_token(headers.get("authorization", ""), self._token)
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise RefusedError(415, "a compressed body is not taken; send it as it is, without "
                               "Content-Encoding")  # fmt: skip


def check_host(headers: Headers, hosts: Collection[str]) -> None:
    """Refuse a request for another server, or from a page of another one.

    A page of a stranger reaches a server of this machine through a name of its own that it lets
    point here (DNS rebinding); the browser then sends that name.

    Raises:
        RefusedError: 400: the host is not one of `hosts`; 403: the page's host is not.
    """
    given = headers.getlist("host")
    if len(given) != 1 or _name(given[0]) not in hosts:
        got = ", ".join(map(repr, given)) or "none"
        raise RefusedError(
            400, f"this server has no such name: Host is {got}, want localhost or its address; "
            "who runs the server can allow other names",
        )  # fmt: skip
    origin = headers.get("origin")
    if origin is not None and _name(origin.partition("://")[2]) not in hosts:
        raise RefusedError(403, f"no page of another server may ask: Origin is {origin!r}")


def check_token(given: str, token: str) -> None:
    """Refuse a request without the token, in a time that does not tell how much of it was right.

    Raises:
        RefusedError: 401: `given`, the header Authorization, is not `Bearer TOKEN`.
    """
    scheme, _, credentials = given.partition(" ")
    right = secrets.compare_digest(credentials.strip().encode(), token.encode())
    if not (right and scheme.lower() == "bearer"):
        raise RefusedError(401, "send the header Authorization: Bearer TOKEN, with the right token",
                           {"WWW-Authenticate": "Bearer"})  # fmt: skip


def _name(host: str) -> str | None:
    found = _HOST.fullmatch(host.strip())
    return (found[1] or found[2]).lower() if found else None
