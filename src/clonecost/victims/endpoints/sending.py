"""Rows to an endpoint and answers back: at a rate, some at once, again if need be, all accounted.

What a failure says of the rows of a request:

| failure | served? | then |
|---|---|---|
| no connection, 429 | surely not | sent again, not counted |
| another 4xx, a redirect, a bad certificate | surely not | the audit stops |
| time-out or reset once the request was on its way, 408, 5xx | perhaps | lost, sent again |
| an answer that cannot be used | yes | lost, the audit stops |

A retry waits as long as `Retry-After` says, at least a time that doubles, with jitter (tenacity).
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

from clonecost.errors import CloneCostError, VictimError
from clonecost.oracle.delivery import Delivery, current
from clonecost.types import InputPrecision, Progress, no_progress

PATIENCE = 600.0  # seconds; who asks for a longer pause is asked again by `resume`
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds, of the growing pause between attempts
IDLE = 2.0  # seconds; servers drop idle connections after 5 or more: rather open a new one
WAITING = "waiting for the endpoint to answer again"
EXCERPT = 200  # characters of a server's words in a message


class Dialect(Protocol):
    """How one kind of API is asked and read; knows nothing of retries."""

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

    def ask(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        """(n, *input_shape) pixels in [0, 1] -> headers and body of one request."""
        ...

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        """The body of a 2xx answer -> (rows, K) scores. Raises VictimError."""
        ...


class UnansweredError(Exception):
    """A request without an answer that is worth another attempt."""

    def __init__(self, reason: str, *, maybe_served: bool, retry_after: float = 0.0) -> None:
        self.maybe_served, self.retry_after = maybe_served, retry_after
        super().__init__(reason)


class Pace:
    """At most so many rows a second, counted from the start of each request; never a burst."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free_at = rate, 0.0

    def admit(self, rows: int) -> None:
        """Wait until these rows may go."""
        if (early := self._free_at - time.monotonic()) > 0:
            time.sleep(early)
        self._free_at = max(self._free_at, time.monotonic()) + rows / self._rate


@dataclass
class Sender:
    """Calls with (n, *input_shape) give (n, K) scores, whatever it takes within the limits."""

    client: httpx2.Client
    dialect: Dialect
    rate: float  # rows a second
    rows_per_request: int
    concurrency: int
    attempts: int
    hide: Callable[[str], str]  # takes secrets out of a message
    progress: Progress = no_progress
    seconds: list[float] = field(default_factory=list)  # of every answered request

    def __post_init__(self) -> None:
        self._pace = Pace(self.rate)
        self._threads = ThreadPoolExecutor(self.concurrency, "clonecost-endpoint")

    @property
    def rows_in_flight(self) -> int:
        return self.rows_per_request * self.concurrency

    @property
    def latency(self) -> float | None:
        """Median seconds of an answered request."""
        return median(self.seconds) if self.seconds else None

    def close(self) -> None:
        """Give the connections back; what is under way is waited for by nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def __call__(self, inputs: Tensor) -> Tensor:
        delivery = current()
        delivery.track()
        rows = inputs.detach().cpu()  # threads do not know that gradients are off here
        found = [self._deliver(part, delivery) for part in rows.split(self.rows_in_flight)]
        return torch.cat(found).to(inputs.device)

    def _deliver(self, inputs: Tensor, delivery: Delivery) -> Tensor:
        """One request for each part of the rows, all at once; again for those that failed."""
        parts = inputs.split(self.rows_per_request)
        answers: dict[int, Tensor] = {}
        failed: dict[int, UnansweredError] = {}
        failed_once: list[bool] = []

        def attempt() -> None:
            failed.clear()
            asked: dict[int, Future[Tensor]] = {}
            for k in range(len(parts)):
                if k not in answers:
                    self._pace.admit(len(parts[k]))
                    delivery.sent(len(parts[k]))  # before it goes: an interrupt may come any time
                    asked[k] = self._threads.submit(self._ask, parts[k])
            wait(asked.values())
            fatal: list[BaseException] = []
            for k, future in asked.items():
                error = future.exception()
                if error is None:
                    answers[k] = future.result()
                    continue
                if not getattr(error, "maybe_served", True):
                    delivery.refused(len(parts[k]))
                if isinstance(error, UnansweredError):
                    failed[k] = error
                else:
                    fatal.append(error)
            if fatal:
                raise fatal[0]
            if failed:
                raise max(failed.values(), key=lambda error: error.retry_after)

        def before_again(state: RetryCallState) -> None:
            for k, error in failed.items():
                if error.maybe_served:
                    delivery.lost(parts[k], self.hide(str(error)))
            self.progress(WAITING, 0, 1)
            failed_once.append(True)

        try:
            Retrying(
                stop=stop_after_attempt(self.attempts),
                wait=self._pause,
                retry=retry_if_exception_type(UnansweredError),
                before_sleep=before_again,
                reraise=True,
            )(attempt)
        except UnansweredError as error:
            raise VictimError(self.hide(
                f"{self.dialect.url} did not answer in {self.attempts} attempts ({error}); "
                "everything before is kept: `clonecost resume` goes on when it is back"
            )) from None  # fmt: skip
        if failed_once:
            self.progress(WAITING, 1, 1)
        return torch.cat([answers[k] for k in range(len(parts))])

    def _pause(self, state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        growing = backoff(multiplier=FIRST_PAUSE, min=FIRST_PAUSE / 2, max=LONGEST_PAUSE)(state)
        error = state.outcome.exception() if state.outcome else None
        asked_for = error.retry_after if isinstance(error, UnansweredError) else 0.0
        if asked_for > PATIENCE:
            raise VictimError(
                f"{self.dialect.url} asks for a pause of {asked_for:,.0f} s; everything before is "
                "kept: `clonecost resume` goes on after that"
            )
        return max(growing, asked_for)

    def _ask(self, inputs: Tensor) -> Tensor:
        """One request. In a thread: touches neither the delivery nor the ledger."""
        try:
            headers, body = self.dialect.ask(inputs)
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
        except Exception as error:  # nobody thought of this answer
            what = self.hide(f"{type(error).__name__}: {error}")
            raise VictimError(f"{self.dialect.url}: its answer cannot be read ({what})") from None


class RefusedRequestError(VictimError):
    """The endpoint turned a request away before any work."""

    maybe_served = False


def exchange(
    client: httpx2.Client, method: str, url: str, *, headers: dict[str, str] | None = None,
    content: bytes | None = None,
) -> httpx2.Response:  # fmt: skip
    """One request and its 2xx answer; see the table above for everything else.

    Raises:
        UnansweredError: another attempt may help.
        RefusedRequestError: none will.
    """
    try:
        response = client.request(method, url, headers=headers, content=content)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout,
            httpx2.ProxyError) as error:  # fmt: skip
        if certificate := _certificate_problem(error):
            raise RefusedRequestError(
                f"{url}: its certificate cannot be trusted ({certificate})"
            ) from error
        raise UnansweredError(_words("no connection", error), maybe_served=False) from error
    except httpx2.LocalProtocolError as error:
        raise RefusedRequestError(f"{url}: the request cannot be written: {error}") from error
    except httpx2.TransportError as error:  # time-outs and resets once the request was under way
        raise UnansweredError(_words("no answer", error), maybe_served=True) from error
    except httpx2.DecodingError as error:
        raise UnansweredError(_words("a garbled answer", error), maybe_served=True) from error
    status = response.status_code
    said = f"{status} {response.reason_phrase}".strip()
    if response.is_success:
        return response
    if status in (408, 429) or status >= 500:
        pause = seconds_until(response.headers.get("retry-after", ""))
        raise UnansweredError(
            f"it answered {said}{_excerpt(response)}",
            maybe_served=status != 429, retry_after=pause,
        )  # fmt: skip
    where = ""
    if response.has_redirect_location:
        where = ": it leads elsewhere, where no audit follows; give the final address"
    raise RefusedRequestError(f"{url} answered {said}{where or _excerpt(response)}")


def seconds_until(retry_after: str) -> float:
    """What a Retry-After header asks for: seconds, or a date; 0 when it is neither."""
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


def _words(what: str, error: Exception) -> str:
    return (
        f"{what}: {error or type(error).__name__}"
        if str(error)
        else f"{what}: {type(error).__name__}"
    )


def _excerpt(response: httpx2.Response) -> str:
    """The beginning of what a server says of an error, on one line."""
    words = " ".join(response.text.split())
    return f": {words[:EXCERPT]}{'...' if len(words) > EXCERPT else ''}" if words else ""


def hidden(error: CloneCostError, hide: Callable[[str], str]) -> CloneCostError:
    """The same error, its secrets taken out of every field."""

    def field(value: object) -> object:
        return None if value is None else hide(str(value))

    other = type(error).__new__(type(error))
    CloneCostError.__init__(
        other, hide(error.what), *error.remedies, got=field(error.got), want=field(error.want)
    )
    return other
