"""What the oracle does so that a GPU never waits for the ledger.

A row is charged, durably, before anybody sees its answer. For an endpoint each batch is charged
with its digests before it is sent. A victim of this process on a GPU is charged for several batches
at once, by their number: the ledger notes up to which row the attack may ask (`allowance`).
Within that allowance a batch costs no commit. Its rows, its answers and the numbers by which both
are judged leave the GPU on a stream of their own, into pinned memory; while the GPU works on what
comes next, earlier batches are digested, and all that are ready go into the ledger in one commit,
which also moves the allowance on. At the end and before a snapshot, the rest of it is given back.

After a kill the whole allowance counts as lost, so that the count is never too low; it is at most
the rows of `BATCHES` batches too high, and of a hundredth of the budget.

Rows are digested by the thread that asks, with others beside it, at a moment when the GPU has work.
A thread that hashes beside one that launches kernels would get the interpreter's lock once in 5 ms
and make some hundred rows a second (docs/speed.md).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from clonecost.errors import CloneCostError
from clonecost.oracle.allowance import MOST
from clonecost.oracle.answer_policy import answer_facts, as_told, judge_answers, shaped_answers
from clonecost.oracle.input_checks import judge_pixels, pixel_range
from clonecost.oracle.ledger import Answered, Ledger
from clonecost.oracle.tensor_codec import encode, pack, row_digests
from clonecost.persistence.cores import allowed_cores
from clonecost.types import ThreatModel, Victim

HASHING = 16  # threads that digest rows, at most
BATCHES = 16  # that are charged, and recorded, in one commit


def _of_the_cpu() -> list[Tensor]:
    return [torch.get_rng_state()]


@dataclass
class OwnRandomness:
    """The victim's random states, kept apart from the attack's: a replay draws nothing.

    Attributes:
        states: of the CPU, and of a GPU once rows came from one.
    """

    states: list[Tensor] = field(default_factory=_of_the_cpu)

    @contextmanager
    def of(self, device: torch.device) -> Iterator[None]:
        """The victim's states inside the `with`, for rows on this device."""
        attacks = _states(device)
        _set_states(device, self.states + attacks[len(self.states) :])
        try:
            yield
        finally:
            self.states = _states(device)
            _set_states(device, attacks)


@dataclass(frozen=True)
class _Asked:
    """A batch on its way into the ledger: what leaves the device, and when it has left."""

    position: int
    copies: tuple[Tensor, ...]  # rows, answers, five numbers that judge both, perhaps pool indices
    left: "torch.cuda.Event | None"

    @property
    def after(self) -> int:
        return self.position + len(self.copies[0])

    def ready(self) -> bool:
        return self.left is None or bool(self.left.query())


class Ahead:
    """The batches of an attack that were asked and are not in the ledger yet.

    Args:
        keep: keep the inputs.

    Example:
        >>> ahead = Ahead(ledger, threat, keep=False)  # doctest: +SKIP
        >>> ahead.charge(0, len(inputs), 4_096)  # doctest: +SKIP
        >>> answers = ahead.ask(0, inputs, None, victim, randomness)  # doctest: +SKIP
        >>> ahead.record()  # doctest: +SKIP
    """

    def __init__(self, ledger: Ledger, threat: ThreatModel, *, keep: bool) -> None:
        self._ledger, self._threat, self._keep = ledger, threat, keep
        self._asked: deque[_Asked] = deque()
        self._done: list[Answered] = []
        self._end = 0  # the row up to which is charged

    def charge(self, position: int, count: int, most: int) -> None:
        """Charge `count` rows from `position` on, before they are asked; durable on return.

        Args:
            most: rows that may be charged and not recorded, what a kill can lose; at least `count`.

        Raises:
            QueryError, VictimError: as `ask`.
            LedgerError: nothing more was charged.
        """
        after = position + count
        if after <= self._end and len(self._done) < BATCHES:
            return
        self._collect()
        while self._asked and after - self._asked[0].position > most:
            self._collect(batches=1)
        first = self._asked[0].position if self._asked else position
        most = min(most, MOST)
        self._commit(max(after, min(first + most, self._threat.query_budget)))

    def ask(
        self, position: int, inputs: Tensor, index: Tensor | None, victim: Victim,
        randomness: OwnRandomness,
    ) -> Tensor:  # fmt: skip
        """The answers to rows that are charged, on the device of the rows; nothing waits for it.

        Raises:
            QueryError: rows of this or an earlier batch are no pixels; it and all later rows count
                as lost.
            VictimError: so do rows whose answers are no probabilities.
            Exception: what the victim raised; these rows count as lost.
        """
        try:
            with torch.no_grad(), randomness.of(inputs.device):
                raw = victim(inputs)
            probs = shaped_answers(raw, len(inputs), self._threat).to(inputs.device)
        except BaseException as error:
            self._collect(batches=len(self._asked))
            self._lose(position + len(inputs), error)
            raise
        answers = as_told(probs, self._threat)
        facts = torch.cat([pixel_range(self._threat, inputs).to(probs.dtype), answer_facts(probs)])
        rows = [] if index is None or not self._keep else [index]
        copies, left = leave(inputs, answers, facts, *rows)
        self._asked.append(_Asked(position, copies, left))
        self._collect()
        return answers

    def record(self) -> None:
        """Record everything that was asked, and give back what is left of the allowance.

        Raises:
            QueryError, VictimError, LedgerError: as `ask` and `charge`.
        """
        self._collect(batches=len(self._asked))
        if self._end:
            self._commit(0)

    def _collect(self, *, batches: int = 0) -> None:
        """Judge and digest what has left the device; so many batches are waited for."""
        while self._asked and (batches > 0 or self._asked[0].ready()):
            batches -= 1
            one = self._asked[0]
            if one.left is not None:
                one.left.synchronize()
            inputs, answers, facts, *rows = one.copies
            low, high, *about = facts.tolist()
            try:
                judge_pixels((low, high), sent=True)
                judge_answers(about, len(inputs))
            except CloneCostError as error:
                self._lose(self._asked[-1].after, error)
                raise
            digests = row_digests(inputs, hashing_threads(on_gpu=one.left is not None))
            labels = self._threat.answers == "label" and not self._threat.multi_label
            kept = pack(inputs, rows[0] if rows else None) if self._keep else None
            self._done.append(Answered(one.position, digests, encode(answers, labels), kept))
            self._asked.popleft()

    def _lose(self, after: int, error: BaseException) -> None:
        """Record the batches that are ready, and all rows between them and `after` as lost."""
        self._asked.clear()
        self._commit(after)
        self._ledger.lose_allowed(f"{type(error).__name__}: {error}")
        self._end = 0

    def _commit(self, end: int) -> None:
        self._ledger.record(self._done, allowed=end)
        self._done, self._end = [], end


def hashing_threads(*, on_gpu: bool) -> int:
    """Threads that digest the rows of a device: one where the processor is the device."""
    return _spare() if on_gpu else 1


@cache
def _spare() -> int:
    return max(1, min(HASHING, int(allowed_cores())))


def leave(*values: Tensor) -> tuple[tuple[Tensor, ...], "torch.cuda.Event | None"]:
    """Contiguous copies of values on the host, and the event after which they hold them.

    The copies are pinned and are made beside the device's work, on a stream of their own. Each
    value is copied on its device first: the attack may change it in place while it leaves.
    """
    device = values[0].device
    held = [value.clone(memory_format=torch.contiguous_format) for value in values]
    if device.type != "cuda":
        return tuple(value.cpu() for value in held), None
    side = _side_stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        copies = tuple(
            torch.empty(value.shape, dtype=value.dtype, device="cpu", pin_memory=True).copy_(
                value, non_blocking=True
            )
            for value in held
        )
        for value in held:
            if value.is_cuda:
                value.record_stream(side)  # its memory is not used again before it has left
        left = torch.cuda.Event()
        left.record(side)
    return copies, left


@cache
def _side_stream(device: torch.device) -> "torch.cuda.Stream":
    return torch.cuda.Stream(device)


def _states(device: torch.device) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]


def _set_states(device: torch.device, states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:] if device.type == "cuda" else []:
        torch.cuda.set_rng_state(state, device)
