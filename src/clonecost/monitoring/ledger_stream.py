"""Streams of accounts from the ledger of a run: what the attack asked, and what honest users would.

This file needs torch; the others of the package do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.defences import defend
from clonecost.detectors.base import Stream, row_keys
from clonecost.errors import LedgerError, RunWorkflow
from clonecost.oracle.answer_policy import api_answers
from clonecost.oracle.paid_rows import PaidRows
from clonecost.types import AnswerKind, Defence, LabelledInputs, PredictionApi, Rows, Shape

INPUT_BYTES = 1 << 30  # of honest inputs in memory, as float32


@dataclass(frozen=True)
class ReadInputs:
    """Kept inputs as arrays, read when they are asked for."""

    rows: Rows

    @property
    def shape(self) -> Shape:
        """(n, *shape)."""
        return self.rows.shape

    @property
    def ndim(self) -> int:
        """The number of sizes in `shape`."""
        return len(self.rows.shape)

    def __getitem__(self, rows: slice | NDArray[np.intp], /) -> NDArray[Any]:
        found: NDArray[Any] = self.rows[
            rows if isinstance(rows, slice) else torch.from_numpy(rows)
        ].numpy()
        return found


def stream_of(
    digests: bytes, answers: Tensor, kind: AnswerKind, inputs: Tensor | None = None
) -> Stream:
    """A stream of rows with answers (n, K), of which labels have no confidence."""
    held = answers.float().cpu()
    shown = None if kind == "label" else held.numpy()
    return Stream(
        digests=row_keys(digests), top=held.argmax(1).numpy(), classes=held.shape[1],
        confidence=None if shown is None else shown.max(1), answers=shown,
        inputs=None if inputs is None else inputs.cpu().numpy(),
    )  # fmt: skip


def attack_stream(
    ledger: PaidRows, kind: AnswerKind, pool: Rows | None = None, *, inputs: bool = True
) -> Stream:
    """What the attack asked, in its order.

    Its inputs are read when rows of it are taken.

    Raises:
        LedgerError: the attack has no answered row.
    """
    rows = ledger.totals("attack").settled
    found = ledger.recorded("attack", 0, rows) if rows else None
    if found is None:
        raise LedgerError(
            f"{ledger.path} holds no answered rows yet.", RunWorkflow("resume", ledger.path.parent)
        )
    stream = stream_of(found.digests, found.answers, kind)
    sent = ledger.sent_rows(pool) if inputs else None
    return stream if sent is None else replace(stream, inputs=ReadInputs(sent))


def in_memory(stream: Stream) -> Stream:
    """The first rows of a stream, as many as have 1 GiB of inputs, with these in memory."""
    if stream.inputs is None:
        return stream
    return stream.take(slice(INPUT_BYTES // (4 * prod(stream.inputs.shape[1:]))))


def honest_stream(
    ledger: PaidRows, api: PredictionApi, rows: int, test: LabelledInputs | None,
    defences: Sequence[Defence] = (),
) -> Stream:  # fmt: skip
    """The test rows with the answers that honest users are served; no query is sent.

    The evaluation account holds the undefended victim's answers. The defences and the output policy
    of the audit are applied to these answers.

    Args:
        rows: of the test set.
        test: the test set, for detectors and defences that read inputs; None: neither does.

    Raises:
        LedgerError: the account does not hold the answers to these rows.
    """
    found = ledger.recorded("evaluation", 0, rows)
    if found is None or len(found.answers) != rows:
        raise LedgerError(
            f"{ledger.path.parent} does not have all of the victim's answers on the test set",
            RunWorkflow("resume", ledger.path.parent),
        )
    answers = found.answers
    if defences and test is not None:
        recorded = answers

        def victim(inputs: Tensor, /) -> Tensor:
            return recorded

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            answers = defend(victim, *defences)(test.rows(slice(None)))
    served = api_answers(answers, rows, api)
    return stream_of(
        found.digests, served, api.answers, None if test is None else test.inputs
    )  # fmt: skip


def without_inputs(stream: Stream) -> Stream:
    """The stream as a detector sees it that is told digests and answers only."""
    fields: dict[str, Any] = {
        "digests": stream.digests, "top": stream.top, "classes": stream.classes,
        "confidence": stream.confidence, "answers": stream.answers,
    }  # fmt: skip
    return Stream(**fields)


def distinct(stream: Stream) -> Stream:
    """The stream without rows that were there before: benign rows are given to users as sets."""
    _, first = np.unique(stream.digests.view(np.uint64).reshape(-1, 2), axis=0, return_index=True)
    return stream.take(np.sort(first))
