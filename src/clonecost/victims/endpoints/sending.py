"""Delivery of rows to an endpoint: pace, concurrency, retries, and the count of each row.

`calling` lists what a failed request means for its rows. The first request of a session goes
out on its own, and after a failure so does a single row: what is wrong with all rows costs a few.
Where the endpoint refuses a request because of a row (400, 422), the request is halved until the
row is found. The row is reported as refused for good, if the endpoint answers others: while it has
answered none, or after `REFUSED_RUNNING` refusals without an answer in between, the audit stops.

A retry waits for the time in `Retry-After`, but at least for a time that doubles, with jitter
(tenacity).
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import httpx2
import torch
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity import wait_random_exponential as backoff
from torch import Tensor

from clonecost.errors import Advice, CloneCostError, RunWorkflow, VictimError
from clonecost.oracle.delivery import Delivery, current
from clonecost.types import InputPrecision, Progress, Shown, no_progress
from clonecost.victims.endpoints.calling import (
    Caller,
    RefusedRowsError,
    TooLargeRequestError,
    UnansweredError,
    exchange,
    longest_answer,
)
from clonecost.victims.endpoints.pace import Pace, RowCap

LONGEST_RETRY_AFTER = 600.0  # seconds; a server that requests a longer pause stops the run
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between attempts, doubling
NEVER_ANSWERED = 3  # rows refused one by one before any answer
REFUSED_RUNNING = 20  # and after the last one
WAITING = "waiting for the endpoint to answer again"


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

    @property
    def shows(self) -> Shown | None:
        """How much the answers show, and k of "top_k"; None while that is not known."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, as far as the server states them."""
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


@dataclass
class Sender:
    """Sends (n, *input_shape) rows to an endpoint and returns (n, K) scores.

    Raises (when called):
        VictimError: the endpoint refused a request, gave an unusable answer, or did not answer in
            `attempts` attempts.
    """

    caller: Caller
    dialect: Dialect
    pace: Pace
    cap: RowCap | None  # of the permission
    classes: int | None
    answer_bytes: int | None  # the longest answer; None: by rows and classes
    rows_per_request: int
    concurrency: int  # requests at once
    attempts: int
    progress: Progress = no_progress
    seconds: list[float] = field(default_factory=list)  # duration of every answered request

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.concurrency, "clonecost-endpoint")
        self._alone = True  # whether the next request goes out on its own
        self._probing = False  # whether it is a single row
        self._answer: Tensor | None = None  # (1, K), the last one of this session
        self._refused = 0  # rows refused one by one since then

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
        self.caller.close()

    def __call__(self, inputs: Tensor) -> Tensor:
        delivery = current()
        delivery.track()
        if self.cap is not None:  # before the first request: answers of a part would be dropped
            self.cap.must_allow(len(inputs))
        rows = inputs.detach().cpu()  # detached: gradients are not switched off in other threads
        answers, first = [], 0
        for chunk in rows.split(self.rows_in_flight):
            answers.append(self._deliver(chunk, delivery, first))
            first += len(chunk)
        return torch.cat(answers).to(inputs.device)

    def _deliver(self, inputs: Tensor, delivery: Delivery, first: int) -> Tensor:
        """Send requests for all rows, at once; repeat those that failed.

        Args:
            first: position of the first row in the batch of the delivery.
        """
        todo = [slice(at, min(at + self.rows_per_request, len(inputs)))
                for at in range(0, len(inputs), self.rows_per_request)]  # fmt: skip
        answers: dict[int, Tensor] = {}
        failed: list[tuple[slice, UnansweredError]] = []
        failed_once: list[bool] = []
        refused: dict[int, str] = {}  # rows of `inputs`, and the endpoint's words

        def attempt() -> None:
            failed.clear()
            while todo:
                if self._probing:
                    todo[:1] = _cut(todo[0], 1)
                suspects: list[tuple[slice, RefusedRowsError]] = []
                fatal: list[BaseException] = []
                for part, outcome in self._wave(
                    inputs, todo[:1] if self._alone else list(todo), delivery
                ):
                    if isinstance(outcome, Tensor):
                        answers[part.start] = outcome
                        todo.remove(part)
                        self._alone = self._probing = False
                        self._answer, self._refused = outcome[-1:], 0
                    elif isinstance(outcome, UnansweredError):
                        failed.append((part, outcome))
                    elif isinstance(outcome, RefusedRowsError):
                        suspects.append((part, outcome))
                    else:
                        fatal.append(outcome)
                if fatal:
                    raise fatal[0]
                if failed:
                    self._alone = self._probing = any(one.maybe_served for _, one in failed)
                    raise max((error for _, error in failed), key=lambda error: error.retry_after)
                if suspects:  # the row is looked for in one part, while the others wait
                    part, refusal = suspects[0]
                    at = todo.index(part)
                    if len(inputs[part]) == 1:
                        place = delivery.position + first + part.start
                        words = self._refusal(place, refusal, others=len(todo) > 1)
                        refused[part.start] = words
                        todo.remove(part)
                        continue
                    todo[at : at + 1] = _cut(part, len(inputs[part]) // 2)
                    todo[:] = [*todo[at:], *todo[:at]]
                    self._alone = True

        def before_retry(state: RetryCallState) -> None:
            for part, error in failed:
                if error.maybe_served:
                    delivery.lost(inputs[part], self.caller.secrets.hide(str(error)))
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
            raise VictimError(self.caller.secrets.hide(
                f"{self.dialect.url} did not answer in {self.attempts} attempts ({error}); all "
                "earlier answers are kept"
            ), RunWorkflow("resume")) from None  # fmt: skip
        if failed_once:
            self.progress(WAITING, 1, 1)
        for row, words in refused.items():
            assert self._answer is not None  # else its refusal has stopped the audit
            if self.cap is not None:
                self.cap.take(1)
            delivery.sent(1)
            delivery.refused_for_good(first + row, words)
            answers[row] = self._answer
        return torch.cat([answers[at] for at in sorted(answers)])

    def _wave(
        self, inputs: Tensor, parts: list[slice], delivery: Delivery
    ) -> list[tuple[slice, Tensor | BaseException]]:
        """Send one request for each part, all at once, and wait for their outcomes."""
        futures: list[tuple[slice, Future[Tensor]]] = []
        for part in parts:
            rows = len(inputs[part])
            self.pace.admit(rows)
            if self.cap is not None:
                self.cap.take(rows)
            delivery.sent(rows)  # before the sending: an interrupt may follow
            futures.append((part, self._threads.submit(self._exchange, inputs[part])))
        wait([future for _, future in futures])
        outcomes: list[tuple[slice, Tensor | BaseException]] = []
        for part, future in futures:
            error = future.exception()
            if error is not None and not getattr(error, "maybe_served", True):
                delivery.refused(len(inputs[part]))
                if self.cap is not None:
                    self.cap.give_back(len(inputs[part]))
            outcomes.append((part, future.result() if error is None else error))
        return outcomes

    def _refusal(self, row: int, error: RefusedRowsError, *, others: bool) -> str:
        """The words of the refusal of a single row.

        Args:
            others: whether more rows are to be sent with it.

        Raises:
            VictimError: it seems that the endpoint refuses every row.
        """
        self._refused += 1
        if self._answer is None:
            if self._refused >= NEVER_ANSWERED or not others:
                raise error
        elif self._refused >= REFUSED_RUNNING:
            raise VictimError(
                f"{error.what.removesuffix('.')}. It has refused {self._refused} rows one by one, "
                f"the last of them row {row:,} of the queries, without an answer in between; all "
                "earlier answers are kept",
                Advice("ask the owner why such rows are refused"), RunWorkflow("resume"),
            )  # fmt: skip
        return error.what.removesuffix(".")

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
        secrets, rows = self.caller.secrets, len(inputs)
        try:
            headers, body = self.dialect.request(inputs)
            most = self.answer_bytes or longest_answer(rows, self.classes, len(body))
            began = time.monotonic()
            response = exchange(
                self.caller, self.dialect.method, self.dialect.url, headers=headers, content=body,
                most_bytes=most,
            )  # fmt: skip
            scores = self.dialect.read(response, rows)
            self.seconds.append(time.monotonic() - began)
            return scores
        except UnansweredError:
            raise
        except TooLargeRequestError as error:
            hidden = secrets.hidden(error)
            raise (RefusedRowsError(hidden.what) if rows == 1 else hidden) from None
        except CloneCostError as error:
            raise secrets.hidden(error) from None
        except Exception as error:  # an answer of an unforeseen form
            what = secrets.excerpt(f"{type(error).__name__}: {error}", 300)
            raise VictimError(f"The answer of {self.dialect.url} cannot be read ({what})") from None


def _cut(part: slice, rows: int) -> list[slice]:
    """The first `rows` rows of a part, and the others."""
    at = min(part.start + rows, part.stop)
    return [one for one in (slice(part.start, at), slice(at, part.stop)) if one.start < one.stop]
