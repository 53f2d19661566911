"""The oracle: the one door between an attack and the victim. It checks, charges and records."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from clonecost.errors import (
    BudgetError,
    CloneCostError,
    LostRowsError,
    QueryError,
    ReplayError,
    VictimError,
)
from clonecost.oracle.answer_policy import shown, to_eight_bits
from clonecost.oracle.delivery import Delivery, delivering
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.ledger import Account, Ledger
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.tabular.features import check_rows
from clonecost.types import Purpose, ThreatModel, Victim

# Told of every batch, replayed or live: (position of its first row, inputs as sent, answers, what
# for).
Observer = Callable[[int, Tensor, Tensor, Purpose], None]


# Told how many rows of the account were answered so far, also within a long batch.
Arrival = Callable[[int], None]


def no_observer(position: int, inputs: Tensor, answers: Tensor, purpose: Purpose) -> None:
    pass


def no_arrival(rows: int) -> None:
    pass


class Oracle:
    """Answers queries until the budget is spent.

    On a ledger that already holds answers (a crashed run, started again with the same seed) it
    replays them row by row and asks the victim only for what is new.

    Args:
        victim: what is behind the door, defences included.
        ledger: where every row is written before it is sent.
        account: from which account the rows are paid.
        keep: also keep the inputs, so that another student can be trained without the victim.
        observe: is shown every batch; cannot change it.
        portion: rows that are in flight at once, at most; None: a whole batch. What is in flight
            when a process dies is lost.
        max_lost: rows that the whole run may lose, all accounts together; None: no limit. Then at
            most a quarter of what may still be lost is in flight, so that the limit holds whatever
            happens, and a failure leaves room for another attempt.
        arrived: is told of every portion of a batch but the last.
        again: the command that goes on after a failure; None: `clonecost resume` of the folder.
    """

    def __init__(
        self,
        victim: Victim,
        threat: ThreatModel,
        ledger: Ledger,
        *,
        account: Account = "attack",
        keep: bool = False,
        observe: Observer = no_observer,
        portion: int | None = None,
        max_lost: int | None = None,
        arrived: Arrival = no_arrival,
        again: str | None = None,
    ) -> None:
        self.threat = threat
        self._again = again or f"clonecost resume {ledger.path.parent}"
        self._portion, self._max_lost, self._arrived = portion, max_lost, arrived
        self._victim, self._ledger, self._account = victim, ledger, account
        self._keep, self._observe = keep, observe
        self._spent = 0
        self._bought = ledger.totals(account).settled  # rows that can be replayed
        self._victims_randomness = torch.get_rng_state()

    @property
    def spent(self) -> int:
        """Rows answered so far, replayed ones included."""
        return self._spent

    @property
    def remaining(self) -> int:
        """Rows that the budget still holds."""
        return self.threat.query_budget - self._spent

    def __call__(
        self, inputs: Tensor, *, index: Tensor | None = None, purpose: Purpose = "training"
    ) -> Tensor:
        """(n, *input_shape) inputs -> (n, K) answers on the simplex; costs n queries.

        Inputs are pixels in [0, 1], or a table's rows within the ranges of its features. A table's
        victim that answers in float64 is heard in float64; all other answers are float32.

        A label-only victim answers one-hot, a top-k victim keeps k classes and renormalises, so a
        caller never branches on the kind. Where the threat model says uint8, inputs are rounded to
        k/255 before they are sent, as an image file would be.

        Args:
            index: (n,) rows of the proxy pool, when the inputs come from there: it is kept instead
                of the inputs.
            purpose: what the rows are bought for; the report splits the bill by it.

        Raises:
            QueryError: wrong shape, pixels outside [0, 1], or a value that a table's feature cannot
                have; nothing was charged.
            BudgetError: n does not fit; nothing was charged and nothing sent.
            ReplayError: the recorded run asked something else at this place.
            VictimError: the victim failed or answered nonsense; these rows count as lost.
            LostRowsError: as many rows are lost as may be; nothing more was sent.
        """
        self._check_inputs(inputs)
        inputs = inputs.detach()
        if self.threat.input_precision == "uint8":
            inputs = to_eight_bits(inputs)
        count = len(inputs)
        if count > self.remaining:
            budget = self.threat.query_budget
            raise BudgetError(requested=count, spent=self._spent, budget=budget)

        on_cpu = inputs.cpu().contiguous()  # once: digests and kept inputs are read row by row
        digests = row_digests(on_cpu)
        known = self._replay(digests, count)
        fresh = 0 if known is None else len(known)
        answers = [] if known is None else [known.to(inputs.device)]
        if fresh < count:
            rows = index.cpu() if index is not None else None
            answers += self._buy(inputs, on_cpu, digests, fresh, rows)
        answered = torch.cat(answers)
        self._observe(self._spent, inputs, answered, purpose)
        self._spent += count
        return answered

    def _replay(self, digests: bytes, count: int) -> Tensor | None:
        """Answers of the first rows of a batch, as far as they were bought before."""
        if self._spent >= self._bought:
            return None
        recorded = self._ledger.recorded(self._account, self._spent, count)
        if recorded is None:
            return None
        if not digests.startswith(recorded.digests):
            raise ReplayError(
                f"from row {self._spent:,} on this run asks something else than the recorded one "
                "did; nothing was sent: resume with the seed, device, number of threads and "
                "versions of the first run (see spec.toml and the provenance), or start anew"
            )
        return recorded.answers

    def _buy(
        self, inputs: Tensor, on_cpu: Tensor, digests: bytes, first: int, index: Tensor | None
    ) -> Iterator[Tensor]:
        """The answers to the rows from `first` on, in as many portions as it takes."""
        while first < len(inputs):
            part = slice(first, first + self._sendable(len(inputs) - first))
            rows = index[part] if index is not None else None
            ids = digests[part.start * DIGEST_BYTES : part.stop * DIGEST_BYTES]
            yield self._send(inputs[part], on_cpu[part], ids, self._spent + first, rows)
            first = part.stop
            if first < len(inputs):  # of the whole batch the observer is told
                self._arrived(self._spent + first)

    def _send(
        self, inputs: Tensor, on_cpu: Tensor, digests: bytes, position: int, index: Tensor | None
    ) -> Tensor:
        batch = self._ledger.reserve(account=self._account, position=position, digests=digests)
        delivery = Delivery(lambda lost, why: self._lose(lost, position, len(inputs), why))
        try:
            with torch.no_grad(), self._own_randomness(), delivering(delivery):
                raw = self._victim(inputs)
            answers = shown(raw, len(inputs), self.threat)
        except BaseException as error:
            unsent = delivery.never_sent(len(inputs))
            self._ledger.lose(batch, f"{type(error).__name__}: {error}", unsent=unsent)
            if isinstance(error, CloneCostError) or not isinstance(error, Exception):
                raise
            raise VictimError(
                f"the victim failed ({type(error).__name__}: {error}); the {len(inputs)} rows in "
                f"flight count as lost, everything before is kept: `{self._again}` goes on"
            ) from error
        labels_only = self.threat.answers == "label"
        kept = pack(on_cpu, index) if self._keep else None
        self._ledger.settle(batch, answers, labels_only=labels_only, kept=kept)
        return answers.to(inputs.device)

    def _sendable(self, wanted: int) -> int:
        """How many rows may go out together now."""
        wanted = min(wanted, self._portion or wanted)
        if self._max_lost is None:
            return wanted
        left = self._max_lost - self._ledger.lost
        if left < 1:
            raise self._too_many_lost()
        return min(wanted, max(1, left // 4))

    def _lose(self, inputs: Tensor, position: int, in_flight: int, reason: str) -> None:
        """Write rows that go out again as lost, if the limit holds even when they fail again."""
        after = self._ledger.lost + len(inputs) + in_flight
        if self._max_lost is not None and after > self._max_lost:
            raise self._too_many_lost(reason)
        batch = self._ledger.reserve(
            account=self._account, position=position, digests=row_digests(inputs)
        )
        self._ledger.lose(batch, reason)

    def _too_many_lost(self, reason: str = "") -> LostRowsError:
        why = f" (the last time: {reason})" if reason else ""
        return LostRowsError(
            f"rows that are paid and not answered{why} have come to their limit of "
            f"{self._max_lost:,}, so nothing more is sent: see what ails the victim, then "
            f"`{self._again} --max-lost N` goes on with a larger one"
        )

    def _check_inputs(self, inputs: Tensor) -> None:
        want = self.threat.input_shape
        if inputs.ndim != len(want) + 1 or tuple(inputs.shape[1:]) != want or len(inputs) == 0:
            shape = ", ".join(map(str, want))
            raise QueryError(f"want inputs of shape (n, {shape}), got {tuple(inputs.shape)}")
        if inputs.dtype != torch.float32:
            raise QueryError(f"want float32 inputs, got {inputs.dtype}")
        if self.threat.features is not None:
            check_rows(self.threat.features, inputs, incomplete=self.threat.incomplete)
            return
        low, high = inputs.amin(), inputs.amax()  # four times as fast as aminmax, channels-last
        if not (low >= 0 and high <= 1):  # also catches nan
            if torch.isnan(low) or torch.isnan(high):
                raise QueryError(
                    "want pixels in [0, 1], got NaN: the attack's own networks diverged, lower "
                    "their learning rates (`--set ATTACK.FIELD=VALUE`); nothing was sent"
                )
            raise QueryError(f"want pixels in [0, 1], got [{low:.3g}, {high:.3g}]")

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """The victim's draws must not move the attack's: a replayed batch draws nothing."""
        attacks = torch.get_rng_state()
        torch.set_rng_state(self._victims_randomness)
        try:
            yield
        finally:
            self._victims_randomness = torch.get_rng_state()
            torch.set_rng_state(attacks)


class Place:
    """Where an oracle stands, for a snapshot: nothing that an attack is given.

    A snapshot puts it after rows that were bought before, without their being asked about again.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def state_dict(self) -> dict[str, Any]:
        oracle = self._oracle
        return {"spent": oracle._spent, "victims_randomness": oracle._victims_randomness}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.go_on_after(state["spent"])
        self._oracle._victims_randomness = state["victims_randomness"]

    def go_on_after(self, spent: int) -> None:
        """Raises ValueError when so many rows were never bought."""
        if not 0 <= spent <= self._oracle._bought:
            raise ValueError(f"{spent:,} rows: only {self._oracle._bought:,} were bought")
        self._oracle._spent = spent
