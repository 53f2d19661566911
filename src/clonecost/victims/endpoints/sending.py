"""Delivery of rows to an endpoint: rate limit, concurrency, retries, and the count of each row.

The consequences of a failed request for its rows:

| failure | served? | then |
|---|---|---|
| no connection, 429 | certainly not | sent again, not counted |
| another 4xx, a redirect, a bad certificate | certainly not | the audit stops |
| time-out or reset after the request was sent, 408, 5xx | possibly | lost, sent again |
| an unusable answer | yes | lost, the audit stops |

A retry waits for the time in `Retry-After`, but at least for a time that doubles, with jitter
(tenacity).
"""

import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Protocol

import httpx2
import torch
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity import wait_random_exponential as backoff
from torch import Tensor

from clonecost.errors import Advice, CloneCostError, RunWorkflow, VictimError
from clonecost.oracle.delivery import Delivery, current
from clonecost.types import InputPrecision, Progress, no_progress

LONGEST_RETRY_AFTER = 600.0  # seconds; a server that requests a longer pause stops the run
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between attempts, doubling
IDLE = 2.0  # seconds until an idle connection is closed; servers close theirs after 5 or more
WAITING = "waiting for the endpoint to answer again"
EXCERPT = 200  # characters of a server's error text in a message


class Dialect(Protocol):
    """The requests and responses of one kind of API, without retries."""

    @property
    def url(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def rows_per_request(self) -> int: ...
    @property
    def takes(self) -> InputPrecision: ...
    @property
    def served(self) -> str:
        """The protocol in words, for the report."""
        ...

    def request(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        """(n, *input_shape) pixels in [0, 1] or rows of a table -> headers and body."""
        ...

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        """The body of a 2xx answer -> (rows, K) scores.

        Raises:
            VictimError: the body has another form.
        """
        ...


class UnansweredError(Exception):
    """A request without an answer, worth another attempt.

    Args:
        maybe_served: whether the server may have served the rows.
        retry_after: seconds that the server asks the client to wait.
    """

    def __init__(self, reason: str, *, maybe_served: bool, retry_after: float = 0.0) -> None:
        self.maybe_served, self.retry_after = maybe_served, retry_after
        super().__init__(reason)


class RateLimit:
    """At most `rate` rows a second, counted from the start of each request, without bursts."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free_at = rate, 0.0

    def admit(self, rows: int) -> None:
        """Wait until this number of rows may be sent."""
        if (early := self._free_at - time.monotonic()) > 0:
            time.sleep(early)
        self._free_at = max(self._free_at, time.monotonic()) + rows / self._rate


@dataclass
class Sender:
    """Sends (n, *input_shape) rows to an endpoint and returns (n, K) scores.

    Raises (when called):
        VictimError: the endpoint refused a request, gave an unusable answer, or did not answer in
            `attempts` attempts.
    """

    client: httpx2.Client
    dialect: Dialect
    rate: float  # rows a second
    rows_per_request: int
    concurrency: int  # requests at once
    attempts: int
    hide: Callable[[str], str]  # replaces secrets in a message
    progress: Progress = no_progress
    seconds: list[float] = field(default_factory=list)  # duration of every answered request

    def __post_init__(self) -> None:
        self._limit = RateLimit(self.rate)
        self._threads = ThreadPoolExecutor(self.concurrency, "clonecost-endpoint")

    @property
    def rows_in_flight(self) -> int:
        """The most rows in flight at once."""
        return self.rows_per_request * self.concurrency

    @property
    def latency(self) -> float | None:
        """Median seconds of an answered request."""
        return median(self.seconds) if self.seconds else None

    def close(self) -> None:
        """Close the connections, without waiting for requests in flight."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def __call__(self, inputs: Tensor) -> Tensor:
        delivery = current()
        delivery.track()
        rows = inputs.detach().cpu()  # detached: gradients are not switched off in other threads
        answers = [self._deliver(chunk, delivery) for chunk in rows.split(self.rows_in_flight)]
        return torch.cat(answers).to(inputs.device)

    def _deliver(self, inputs: Tensor, delivery: Delivery) -> Tensor:
        """Send one request for each chunk of the rows, all at once; repeat those that failed."""
        chunks = inputs.split(self.rows_per_request)
        answers: dict[int, Tensor] = {}
        failed: dict[int, UnansweredError] = {}
        failed_once: list[bool] = []

        def attempt() -> None:
            failed.clear()
            futures: dict[int, Future[Tensor]] = {}
            for k in range(len(chunks)):
                if k not in answers:
                    self._limit.admit(len(chunks[k]))
                    delivery.sent(len(chunks[k]))  # before the sending: an interrupt may follow
                    futures[k] = self._threads.submit(self._exchange, chunks[k])
            wait(futures.values())
            fatal: list[BaseException] = []
            for k, future in futures.items():
                error = future.exception()
                if error is None:
                    answers[k] = future.result()
                    continue
                if not getattr(error, "maybe_served", True):
                    delivery.refused(len(chunks[k]))
                if isinstance(error, UnansweredError):
                    failed[k] = error
                else:
                    fatal.append(error)
            if fatal:
                raise fatal[0]
            if failed:
                raise max(failed.values(), key=lambda error: error.retry_after)

        def before_retry(state: RetryCallState) -> None:
            for k, error in failed.items():
                if error.maybe_served:
                    delivery.lost(chunks[k], self.hide(str(error)))
            self.progress(WAITING, 0, 1)
            failed_once.append(True)

        try:
            Retrying(
                stop=stop_after_attempt(self.attempts),
                wait=self._pause,
                retry=retry_if_exception_type(UnansweredError),
                before_sleep=before_retry,
                reraise=True,
            )(attempt)
        except UnansweredError as error:
            raise VictimError(self.hide(
                f"{self.dialect.url} did not answer in {self.attempts} attempts ({error}); all "
                "earlier answers are kept"
            ), RunWorkflow("resume")) from None  # fmt: skip
        if failed_once:
            self.progress(WAITING, 1, 1)
        return torch.cat([answers[k] for k in range(len(chunks))])

    def _pause(self, state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        growing = backoff(multiplier=FIRST_PAUSE, min=FIRST_PAUSE / 2, max=LONGEST_PAUSE)(state)
        error = state.outcome.exception() if state.outcome else None
        requested = error.retry_after if isinstance(error, UnansweredError) else 0.0
        if requested > LONGEST_RETRY_AFTER:
            raise VictimError(
                f"{self.dialect.url} requests a pause of {requested:,.0f} s; all earlier answers "
                "are kept", RunWorkflow("resume"),
            )  # fmt: skip
        return max(growing, requested)

    def _exchange(self, inputs: Tensor) -> Tensor:
        """Send one request and read its answer.

        Runs in a thread, so it uses neither the delivery nor the ledger.
        """
        try:
            headers, body = self.dialect.request(inputs)
            began = time.monotonic()
            response = exchange(
                self.client, self.dialect.method, self.dialect.url, headers=headers, content=body
            )
            self.seconds.append(time.monotonic() - began)
            return self.dialect.read(response, len(inputs))
        except UnansweredError:
            raise
        except CloneCostError as error:
            raise hidden(error, self.hide) from None
        except Exception as error:  # an answer of an unforeseen form
            what = self.hide(f"{type(error).__name__}: {error}")
            raise VictimError(f"The answer of {self.dialect.url} cannot be read ({what})") from None


class RefusedRequestError(VictimError):
    """The endpoint refused a request without serving it."""

    maybe_served = False


def exchange(
    client: httpx2.Client, method: str, url: str, *, headers: dict[str, str] | None = None,
    content: bytes | None = None,
) -> httpx2.Response:  # fmt: skip
    """Send one request and return its 2xx answer; the module's table lists all failures.

    Raises:
        UnansweredError: another attempt may succeed.
        RefusedRequestError: no other attempt will succeed.
    """
    try:
        response = client.request(method, url, headers=headers, content=content)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout,
            httpx2.ProxyError) as error:  # fmt: skip
        if certificate := _certificate_problem(error):
            raise RefusedRequestError(
                f"The certificate of {url} cannot be trusted ({certificate})"
            ) from error
        raise UnansweredError(_reason("no connection", error), maybe_served=False) from error
    except httpx2.LocalProtocolError as error:
        raise RefusedRequestError(f"The request to {url} cannot be written: {error}") from error
    except httpx2.TransportError as error:  # time-outs and resets after the request was sent
        raise UnansweredError(_reason("no answer", error), maybe_served=True) from error
    except httpx2.DecodingError as error:
        raise UnansweredError(_reason("a garbled answer", error), maybe_served=True) from error
    status = response.status_code
    answer = f"{status} {response.reason_phrase}".strip()
    if response.is_success:
        return response
    if status in (408, 429) or status >= 500:
        pause = seconds_until(response.headers.get("retry-after", ""))
        raise UnansweredError(
            f"it answered {answer}{_excerpt(response)}",
            maybe_served=status != 429, retry_after=pause,
        )  # fmt: skip
    if response.has_redirect_location:
        raise RefusedRequestError(
            f"{url} answered {answer}, a redirect, which an audit does not follow",
            Advice("give the final address"),
        )
    raise RefusedRequestError(f"{url} answered {answer}{_excerpt(response)}")


def seconds_until(retry_after: str) -> float:
    """Seconds that a Retry-After header states, as a number or as a date; 0 for anything else."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (then.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _certificate_problem(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return ""


def _reason(what: str, error: Exception) -> str:
    return f"{what}: {str(error) or type(error).__name__}"


def _excerpt(response: httpx2.Response) -> str:
    """The beginning of a server's error text, on one line."""
    words = " ".join(response.text.split())
    return f": {words[:EXCERPT]}{'...' if len(words) > EXCERPT else ''}" if words else ""


def hidden(error: CloneCostError, hide: Callable[[str], str]) -> CloneCostError:
    """The same error with its secrets replaced in every field."""

    def hidden_field(value: object) -> object:
        return None if value is None else hide(str(value))

    other = type(error).__new__(type(error))
    CloneCostError.__init__(
        other, hide(error.what), *error.remedies,
        got=hidden_field(error.got), want=hidden_field(error.want),
    )  # fmt: skip
    return other
