"""One request to an endpoint, its limits, and what a failure means for its rows.

| failure | served? | then |
|---|---|---|
| no connection, 429 | certainly not | sent again, not counted |
| 401, 403, 404 and the like, a redirect, a bad certificate | certainly not | the audit stops |
| HTTP/2 alone, as gRPC | certainly not | the audit stops |
| another 4xx, 413 for a single row | certainly not | the row is looked for |
| time-out or reset after the request was sent, 408, 5xx | possibly | lost, sent again |
| an answer that is too long or unusable | yes | lost, the audit stops |

No cookie is kept, no redirect is followed, and only the proxy that the environment names is used.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpcore2
import httpx2

from clonecost.errors import Advice, Remedy, SetKey, VictimError
from clonecost.version import __version__
from clonecost.victims.endpoints.bounded_network import (
    Allowance,
    BoundedNetwork,
    OtherProtocolError,
    TooLargeError,
    allowing,
)
from clonecost.victims.endpoints.permission import is_local
from clonecost.victims.endpoints.secret_values import Secrets
from clonecost.victims.endpoints.settings import EndpointSettings
from clonecost.victims.endpoints.surroundings import Proxy, certificates, proxy_of

USER_AGENT = f"clonecost/{__version__} (+authorised audit)"
IDLE = 2.0  # seconds until an idle connection is closed; servers close theirs after 5 or more
PATIENCE = 4  # a whole request may last this many time-outs, by default
EXCERPT = 200  # characters of a server's error text in a message
PHRASE = 60  # characters of a server's reason phrase
HEADERS = 2**18  # bytes of headers and trailers, interim answers included
ERROR_BODY = 2**16  # bytes of an error text that are read
METADATA = 2**22  # bytes of an answer that holds no rows
STEM, CELL = 2**20, 256  # bytes of an answer: in any case, and for each class of each row

REDIRECTS = (301, 302, 303, 307, 308)
# These mean the request as a whole, not one of its rows.
OF_REQUEST = (401, 402, 403, 404, 405, 406, 407, 410, 411, 413, 414, 415, 421, 426, 431, 451)


class UnansweredError(Exception):
    """A request without an answer, worth another attempt.

    Args:
        maybe_served: whether the server may have served the rows.
        retry_after: seconds that the server asks the client to wait.
    """

    def __init__(self, reason: str, *, maybe_served: bool, retry_after: float = 0.0) -> None:
        self.maybe_served, self.retry_after = maybe_served, retry_after
        super().__init__(reason)


class RefusedRequestError(VictimError):
    """The endpoint refused a request without serving it."""

    maybe_served = False


class TooLargeRequestError(RefusedRequestError):
    """The endpoint refused a request as too large (413); that of one row: the row itself."""


class RefusedRowsError(RefusedRequestError):
    """The endpoint refused a request without serving it, perhaps for one of its rows."""


@dataclass(frozen=True)
class Caller:
    """The connections to one endpoint, and the limits of each request."""

    pool: httpcore2.ConnectionPool
    headers: httpx2.Headers  # secrets filled in
    secrets: Secrets
    timeout: float  # seconds without a byte
    deadline: float  # seconds of a whole request
    proxy: Proxy | None

    def close(self) -> None:
        """Close the connections."""
        self.pool.close()


def open_caller(url: str, settings: EndpointSettings, secrets: Secrets) -> Caller:
    """The connections to an endpoint; none is open yet.

    Raises:
        SpecError: the environment names a wrong proxy, or no certificates.
    """
    proxy, network, trusted = proxy_of(url), BoundedNetwork(), certificates()
    pool: httpcore2.ConnectionPool
    if proxy is None:
        pool = httpcore2.ConnectionPool(
            ssl_context=trusted, max_connections=settings.concurrency, keepalive_expiry=IDLE,
            network_backend=network,
        )  # fmt: skip
    else:
        kind = httpcore2.SOCKSProxy if proxy.scheme.startswith("socks") else httpcore2.HTTPProxy
        pool = kind(
            proxy_url=str(proxy), ssl_context=trusted, network_backend=network,
            proxy_auth=(proxy.user, proxy.password) if proxy.user or proxy.password else None,
            max_connections=settings.concurrency, keepalive_expiry=IDLE,
        )  # fmt: skip
    headers = httpx2.Headers(
        {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": USER_AGENT}
    )
    headers.update(secrets.fill(settings.headers))
    deadline = settings.deadline or PATIENCE * settings.timeout
    return Caller(pool, headers, secrets, settings.timeout, deadline, proxy)


def longest_answer(rows: int, classes: int | None, sent: int) -> int:
    """The bytes that an answer to this number of rows may have.

    Args:
        classes: None: unknown.
        sent: bytes of the request, which an API may repeat.
    """
    return STEM + CELL * rows * (classes or 1000) + 2 * sent


def exchange(
    caller: Caller, method: str, url: str, *, headers: dict[str, str] | None = None,
    content: bytes | None = None, most_bytes: int = METADATA,
) -> httpx2.Response:  # fmt: skip
    """Send one request and return its 2xx answer; the module's table lists all failures.

    Args:
        url: as the spec has it; `env:NAME` in its query is filled in.
        most_bytes: of the answer, before and after decompression.

    Raises:
        UnansweredError: another attempt may succeed.
        RefusedRequestError: no other attempt will succeed.
        VictimError: the answer is too long.
    """
    allowance = Allowance(caller.deadline, most_bytes + HEADERS)
    try:
        with allowing(allowance):
            response = _answer(caller, method, url, headers or {}, content, most_bytes)
    except TooLargeError:
        raise VictimError(
            f"The answer of {url} is longer than {most_bytes:,} bytes, the limit for its rows and "
            "classes", SetKey("endpoint.answer_bytes"),
        ) from None  # fmt: skip
    except OtherProtocolError:
        raise RefusedRequestError(
            f"{url} speaks HTTP/2 alone, as a gRPC server does, and an audit speaks HTTP/1.1 with "
            "JSON or binary tensors",
            Advice(
                "give the server's HTTP address, often on another port (Triton: 8000 for HTTP "
                "and 8001 for gRPC)"
            ),
            Advice("put a gateway with JSON before it"),
        ) from None
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout,
            httpcore2.ProxyError) as error:  # fmt: skip
        if certificate := _certificate_problem(error):
            raise RefusedRequestError(
                f"The certificate of {url} cannot be trusted ({certificate})", *_of_trust(url)
            ) from error
        through = f" through the proxy {caller.proxy}" if caller.proxy else ""
        raise UnansweredError(_reason(f"no connection{through}", error, caller, allowance),
                              maybe_served=False) from error  # fmt: skip
    except (httpcore2.LocalProtocolError, httpcore2.UnsupportedProtocol) as error:
        raise RefusedRequestError(f"The request to {url} cannot be written: {error}") from error
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise UnansweredError(_reason("no answer", error, caller, allowance),
                              maybe_served=True) from error  # fmt: skip
    except (httpx2.DecodingError, UnicodeError) as error:
        raise UnansweredError(_reason("a garbled answer", error, caller, allowance),
                              maybe_served=True) from error  # fmt: skip
    if not response.is_success:
        raise _failure(caller, url, response)
    return response


def _answer(
    caller: Caller, method: str, url: str, headers: dict[str, str], content: bytes | None, most: int
) -> httpx2.Response:  # fmt: skip
    address = httpx2.URL(caller.secrets.fill_address(url))
    target = httpcore2.URL(
        scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path
    )
    sent = caller.headers.copy()
    sent.update(headers)  # by name, however its letters are written: none is sent twice
    waits = dict.fromkeys(("connect", "read", "write", "pool"), caller.timeout)
    with caller.pool.stream(
        method, target, headers=sent.raw, content=content, extensions={"timeout": waits}
    ) as answer:  # fmt: skip
        good = 200 <= answer.status < 300
        body = _body(answer, most if good else ERROR_BODY, cut=not good)
    left_out = (b"content-encoding", b"content-length", b"transfer-encoding")
    kept = [(name, value) for name, value in answer.headers if name.lower() not in left_out]
    phrase = {"reason_phrase": answer.extensions.get("reason_phrase", b"")}
    return httpx2.Response(answer.status, headers=kept, content=body, extensions=phrase)


def _body(answer: httpcore2.Response, most: int, *, cut: bool) -> bytes:
    """The body, decompressed piece by piece.

    Args:
        cut: what can be read of it is enough, as of an error's words: its status says the rest.

    Raises:
        TooLargeError: it is longer than `most`, and `cut` is not set.
    """
    coding = [value for name, value in answer.headers if name.lower() == b"content-encoding"]
    if b"," in b",".join(coding):
        if cut:
            return b""
        raise httpx2.DecodingError("its compression has several layers")
    encoded = httpx2.Response(
        200, headers=[(b"content-encoding", value) for value in coding],
        content=answer.iter_stream(),
    )  # fmt: skip
    pieces, length = [], 0
    try:
        for piece in encoded.iter_bytes():
            pieces.append(piece)
            length += len(piece)
            if length > most:
                raise TooLargeError
    except (TooLargeError, httpcore2.TimeoutException, httpcore2.NetworkError,
            httpcore2.ProtocolError, httpx2.DecodingError):  # fmt: skip
        if not cut:
            raise
    return b"".join(pieces)[:most]


def _failure(caller: Caller, url: str, response: httpx2.Response) -> Exception:
    """The error of an answer that is none of 2xx."""
    status = response.status_code
    phrase = caller.secrets.excerpt(response.reason_phrase, PHRASE)
    words = caller.secrets.excerpt(response.text, EXCERPT)
    answer = f"{status} {phrase}".strip() + (f": {words}" if words else "")
    if status in (408, 429) or status >= 500:
        pause = seconds_until(response.headers.get("retry-after", ""))
        return UnansweredError(
            f"it answered {answer}", maybe_served=status != 429, retry_after=pause
        )
    if status in REDIRECTS and "location" in response.headers:
        goal = caller.secrets.excerpt(response.headers["location"], EXCERPT)
        return RefusedRequestError(
            f"{url} answered {status} {phrase}, a redirect to {goal}, which an audit does not "
            "follow", Advice("give the final address"),
        )  # fmt: skip
    if 400 <= status < 500 and status not in OF_REQUEST:
        return RefusedRowsError(f"{url} answered {answer}")
    if status == 413:
        return TooLargeRequestError(f"{url} answered {answer}", SetKey("endpoint.batch_size"))
    return RefusedRequestError(f"{url} answered {answer}")


def seconds_until(retry_after: str) -> float:
    """Seconds that a Retry-After header states, as a number or as a date; 0 for anything else."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(retry_after)
        return max(0.0, (then.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _certificate_problem(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return ""


def _of_trust(url: str) -> tuple[Remedy, ...]:
    own = Advice(
        "name the file of its authority's certificate (PEM) in the environment variable "
        "SSL_CERT_FILE"
    )
    return (own, Advice("use http on this machine")) if is_local(url) else (own,)


def _reason(what: str, error: Exception, caller: Caller, allowance: Allowance) -> str:
    if allowance.time_left() <= 0:
        return f"{what}: the request was not complete after {caller.deadline:g} s"
    said = caller.secrets.excerpt(str(error), EXCERPT)
    if isinstance(error, httpcore2.TimeoutException):
        said = f"no byte for {caller.timeout:g} s"
    return f"{what}: {said or type(error).__name__}"
