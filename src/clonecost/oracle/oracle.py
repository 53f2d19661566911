"""The oracle: it validates, charges and records an attack's queries, and returns the answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from clonecost.errors import (
    Advice,
    BudgetError,
    CloneCostError,
    LostRowsError,
    ReplayError,
    RunWorkflow,
    SetKey,
    VictimError,
)
from clonecost.oracle.ahead import BATCHES, Ahead, OwnRandomness
from clonecost.oracle.answer_policy import api_answers, to_eight_bits
from clonecost.oracle.delivery import Delivery, delivering
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.input_checks import check_form, judge_pixels, pixel_range
from clonecost.oracle.ledger import Account, Ledger
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.types import Purpose, ThreatModel, Victim, answered

# Called after every batch, replayed or live: (position of the first row, inputs as sent, answers,
# purpose).
Observer = Callable[[int, Tensor, Tensor, Purpose], None]
# Called within a long batch: (rows of the account that are answered so far).
ChunkObserver = Callable[[int], None]


def no_observer(position: int, inputs: Tensor, answers: Tensor, purpose: Purpose) -> None:
    pass


def no_chunk_observer(rows: int) -> None:
    pass


def no_notice(sentence: str) -> None:
    pass


class Oracle:
    """Answers queries until the budget is spent.

    If the ledger already holds answers (a crashed run, restarted with the same seed), the oracle
    replays them row by row, and sends only new rows to the victim.

    Args:
        victim: (n, *input_shape) -> (n, K) probabilities, defences included.
        threat: the threat model: what the attacker may send, sees and may spend.
        ledger: records every row before it is sent.
        account: the account that is charged.
        keep: also keep the inputs, so that another student can be trained without the victim.
        observe: called after every batch; cannot change it.
        rows_in_flight: the largest number of rows that are sent at once, a chunk of a batch; None:
            the whole batch. Rows in flight are lost when the process dies.
        max_lost: the largest number of lost rows of the whole run, all accounts together; None: no
            limit. Rows that the victim refused for good count as lost here. With a limit at most a
            quarter of the remaining rows of the limit is in flight, so that the limit holds
            whatever happens and a failure leaves rows for a new attempt.
        observe_chunk: called after every chunk of a batch except the last.
        skips_refused: the caller goes on without rows that the victim refuses for good, whose
            answers are rows of zeros (`clonecost.types.answered`).
        notice: called with a sentence when the run's first row is refused.
        instead: the attacks that could go on without a refused row, named to a caller that cannot.
        resume: the workflow that continues after a failure; None: to resume the ledger's run.
        ahead: the account is "attack", and the victim is one of this process: charge several
            batches at once, and record them later, until `OraclePosition.settle`, see
            `clonecost.oracle.ahead`.

    Example:
        >>> threat = ThreatModel(input_shape=(1, 8, 8), num_classes=3, query_budget=10)
        >>> oracle = Oracle(victim, threat, ledger)  # doctest: +SKIP
        >>> answers = oracle(torch.rand(4, 1, 8, 8))  # doctest: +SKIP
        >>> answers.shape, oracle.spent, oracle.remaining  # doctest: +SKIP
        (torch.Size([4, 3]), 4, 6)
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
        rows_in_flight: int | None = None,
        max_lost: int | None = None,
        observe_chunk: ChunkObserver = no_chunk_observer,
        skips_refused: bool = False,
        notice: Callable[[str], None] = no_notice,
        instead: Callable[[], Sequence[str]] = tuple,
        resume: RunWorkflow | None = None,
        ahead: bool = False,
    ) -> None:
        self.threat = threat
        self._resume = resume or RunWorkflow("resume", ledger.path.parent)
        self._rows_in_flight, self._max_lost = rows_in_flight, max_lost
        self._observe_chunk = observe_chunk
        self._skips_refused, self._notice, self._instead = skips_refused, notice, instead
        self._victim, self._ledger, self._account = victim, ledger, account
        self._keep, self._observe = keep, observe
        self._spent = 0
        self._bought = ledger.totals(account).settled  # rows that can be replayed
        self._randomness = OwnRandomness()
        self._ahead = Ahead(ledger, threat, keep=keep) if ahead else None

    @property
    def spent(self) -> int:
        """Rows answered so far, replayed ones included."""
        return self._spent

    @property
    def remaining(self) -> int:
        """Rows that are left of the budget."""
        return self.threat.query_budget - self._spent

    def __call__(
        self, inputs: Tensor, *, index: Tensor | None = None, purpose: Purpose = "training"
    ) -> Tensor:
        """(n, *input_shape) inputs -> (n, K) answers on the simplex; costs n queries.

        Inputs are float32: pixels in [0, 1], a table's rows within the ranges of its features
        (float64, if the input precision is), or
        texts as `clonecost.data.text_rows` encodes them. Answers are float32; those to rows of a
        table and to texts stay float64 if they are float64.

        Hard labels are one-hot and top-k answers are renormalised, so that a caller never branches
        on the kind of answer. If the input precision is uint8, inputs are rounded to k/255 before
        they are sent, as in an image file.

        A row that the victim refuses for good is paid, and its answer is a row of zeros; a caller
        that does not skip such rows gets an error instead.

        Args:
            index: (n,) rows of the proxy pool, if the inputs come from it; kept instead of the
                inputs.
            purpose: the use of the answers; the report splits the query costs by purpose.

        Raises:
            QueryError: wrong shape, pixels outside [0, 1], or a value that a table's feature cannot
                have; nothing was charged.
            BudgetError: n does not fit; nothing was charged and nothing sent.
            ReplayError: the recorded run has other queries at this position.
            VictimError: the victim failed or its answers are unusable; these rows count as lost.
                Or it refuses a row for good, and the caller skips none.
            LostRowsError: the limit of lost rows is reached; nothing more was sent.
        """
        check_form(self.threat, inputs)
        inputs = inputs.detach()
        if self.threat.input_precision == "uint8":
            inputs = to_eight_bits(inputs)
        elif self.threat.input_precision == "float64":
            inputs = inputs.double()
        count = len(inputs)
        if count > self.remaining:
            budget = self.threat.query_budget
            raise BudgetError(requested=count, spent=self._spent, budget=budget)
        if self._ahead is not None and self._spent >= self._bought:
            most = min(BATCHES * count, max(count, self.threat.query_budget // 100))
            if (most := self._sendable(most)) >= count:
                result = self._ask_ahead(self._ahead, inputs, index, most)
                return self._told(inputs, result, purpose)
            self._settle()

        judge_pixels(pixel_range(self.threat, inputs).tolist(), sent=False)
        on_cpu = inputs.cpu().contiguous()  # once: digests and kept inputs are read row by row
        digests = row_digests(on_cpu)
        known = self._replay(digests, count)
        fresh = 0 if known is None else len(known)
        if fresh and self._keep and self._ledger.torn:
            self._ledger.restore_inputs(
                self._spent,
                fresh,
                lambda part: pack(on_cpu[part], index[part].cpu() if index is not None else None),
            )
        if known is not None:
            self._must_be_answered(known, self._spent)
        answers = [] if known is None else [known.to(inputs.device)]
        if fresh < count:
            rows = index.cpu() if index is not None else None
            answers += self._query(inputs, on_cpu, digests, fresh, rows)
        return self._told(inputs, torch.cat(answers), purpose)

    def _settle(self) -> None:
        if self._ahead is not None:
            self._ahead.record()

    def _ask_ahead(self, ahead: Ahead, inputs: Tensor, index: Tensor | None, most: int) -> Tensor:
        """The answers to rows that are recorded later."""
        ahead.charge(self._spent, len(inputs), most)
        try:
            return ahead.ask(self._spent, inputs, index, self._victim, self._randomness)
        except Exception as error:
            if isinstance(error, CloneCostError):
                raise
            raise self._failed(error, len(inputs)) from error

    def _failed(self, error: Exception, rows: int) -> VictimError:
        return VictimError(
            f"The victim failed ({type(error).__name__}: {error}). The {rows} rows that "
            "were sent count as lost; all earlier answers are kept.",
            self._resume,
        )

    def _told(self, inputs: Tensor, result: Tensor, purpose: Purpose) -> Tensor:
        """Count a batch of answered rows, and show it to the observer."""
        told = answered(result) if self._ledger.refused else slice(None)
        if len(result[told]):
            self._observe(self._spent, inputs[told], result[told], purpose)
        self._spent += len(inputs)
        return result

    def _replay(self, digests: bytes, count: int) -> Tensor | None:
        """The recorded answers of the first rows of a batch; None if there are none."""
        if self._spent >= self._bought:
            return None
        recorded = self._ledger.recorded(self._account, self._spent, count)
        if recorded is None:
            return None
        if not digests.startswith(recorded.digests):
            raise ReplayError(
                f"The queries from row {self._spent:,} on differ from those of the recorded run; "
                "nothing was sent.",
                Advice(
                    "use the seed, device, number of threads and versions of the first run (see "
                    "spec.toml and the provenance)"
                ),
                SetKey("out"),
            )
        return recorded.answers

    def _query(
        self, inputs: Tensor, on_cpu: Tensor, digests: bytes, first: int, index: Tensor | None
    ) -> Iterator[Tensor]:
        """The answers to the rows from `first` on, chunk by chunk."""
        while first < len(inputs):
            part = slice(first, first + self._sendable(len(inputs) - first))
            rows = index[part] if index is not None else None
            ids = digests[part.start * DIGEST_BYTES : part.stop * DIGEST_BYTES]
            yield self._send(inputs[part], on_cpu[part], ids, self._spent + first, rows)
            first = part.stop
            if first < len(inputs):  # after the last chunk, `observe` is called
                self._observe_chunk(self._spent + first)

    def _send(
        self, inputs: Tensor, on_cpu: Tensor, digests: bytes, position: int, index: Tensor | None
    ) -> Tensor:
        kept = pack(on_cpu, index) if self._keep else None
        batch = self._ledger.reserve(
            account=self._account, position=position, digests=digests, kept=kept
        )
        delivery = Delivery(
            lambda lost, why: self._lose(lost, position, len(inputs), why), position
        )
        try:
            with torch.no_grad(), self._randomness.of(inputs.device), delivering(delivery):
                raw = self._victim(inputs)
            answers = api_answers(raw, len(inputs), self.threat)
        except BaseException as error:
            unsent = delivery.never_sent(len(inputs))
            self._ledger.lose(batch, f"{type(error).__name__}: {error}", unsent=unsent)
            if isinstance(error, CloneCostError) or not isinstance(error, Exception):
                raise
            raise self._failed(error, len(inputs)) from error
        refusals = delivery.refusals
        words = refusals[min(refusals)] if refusals else None
        if refusals:
            answers = answers.clone()
            answers[sorted(refusals)] = 0
        first = bool(refusals) and not self._ledger.refused
        self._ledger.settle(
            batch, answers, refused=len(refusals), reason=words,
            labels_only=self.threat.answers == "label" and not self.threat.multi_label,
        )  # fmt: skip
        if refusals:
            self._must_be_answered(answers, position)
        if first:
            self._notice(
                f"The victim refuses row {position + min(refusals):,} of the queries ({words}). It "
                "counts as paid, without an answer, and is not sent again; the audit goes on "
                "without such rows"
            )
        return answers.to(inputs.device)

    def _must_be_answered(self, answers: Tensor, position: int) -> None:
        """Refuse answers with a row of zeros, unless the caller skips such rows.

        Raises:
            VictimError: the victim refused a row for good.
        """
        if self._skips_refused or not self._ledger.refused:
            return
        told = answered(answers)
        if not told.all():
            row = position + int(told.int().argmin())
            raise VictimError(
                f"The victim refuses row {row:,} of the queries on its own, and answers others "
                f"({self._ledger.first_refusal(self._account)}). The row is paid, all answers are "
                "kept, and this attack cannot go on without an answer to each of its rows",
                Advice("ask the owner why such a row is refused"),
                *_choices(self._instead()),
            )

    def _sendable(self, rows: int) -> int:
        """The size of the next chunk, at most `rows`.

        Raises:
            LostRowsError: the limit of lost rows is reached.
        """
        rows = min(rows, self._rows_in_flight or rows)
        if self._max_lost is None:
            return rows
        left = self._max_lost - self._ledger.lost - self._ledger.refused
        if left < 1:
            words = self._ledger.first_refusal(self._account)
            raise self._too_many_lost(f"it refuses rows ({words})" if words else "")
        return min(rows, max(1, left // 4))

    def _lose(self, inputs: Tensor, position: int, in_flight: int, reason: str) -> None:
        """Record rows that are sent again as lost, if the limit holds even if they fail again.

        Raises:
            LostRowsError: the limit would not hold.
        """
        after = self._ledger.lost + self._ledger.refused + len(inputs) + in_flight
        if self._max_lost is not None and after > self._max_lost:
            raise self._too_many_lost(reason)
        self._ledger.charge_lost(
            account=self._account, position=position, digests=row_digests(inputs), reason=reason
        )

    def _too_many_lost(self, reason: str = "") -> LostRowsError:
        last = f" Last failure: {reason}." if reason else ""
        return LostRowsError(
            f"The limit of lost rows ({self._max_lost:,}) is reached; nothing more is sent.{last}",
            Advice("check the victim"),
            replace(self._resume, change=SetKey("max_lost")),
        )


def _choices(attacks: Sequence[str]) -> list[Advice]:
    named = " or ".join(attacks)
    return [Advice(f"choose an attack that skips such rows: {named}")] if attacks else []


class OraclePosition:
    """The position of an oracle in its ledger, for a checkpoint; never passed to an attack.

    Restoring a position skips rows that were bought before, without replaying them.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def state_dict(self) -> dict[str, Any]:
        oracle = self._oracle
        self.settle()  # a snapshot never knows more rows than the ledger
        return {"spent": oracle._spent, "randomness": oracle._randomness.states}

    def settle(self) -> None:
        """Record all answers that were given; without `ahead` they are recorded already.

        Raises:
            QueryError, VictimError: rows or answers were none; they count as lost.
            LedgerError: the ledger cannot be written.
        """
        self._oracle._settle()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.move_to(state["spent"])
        self._oracle._randomness.states = list(state["randomness"])

    def move_to(self, spent: int) -> None:
        """Continue after the first `spent` rows of the account.

        Raises:
            ValueError: the ledger holds fewer rows.
        """
        if not 0 <= spent <= self._oracle._bought:
            raise ValueError(f"{spent:,} rows: only {self._oracle._bought:,} were bought")
        self._oracle._spent = spent
