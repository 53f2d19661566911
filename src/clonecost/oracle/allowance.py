"""Rows that are charged by their number, before they exist.

A victim of this process may be asked for several batches within one allowance: the ledger notes the
row up to which the attack may ask, and until these rows are recorded they count as reserved. What
a dead process left of an allowance counts as lost, with digests of zeros: nobody knows which of
these rows were asked, or what they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clonecost.oracle.event_writer import EventWriter
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.input_store import KeptInputs, Packed
from clonecost.oracle.pending import Outcome
from clonecost.persistence.disk import disk_faults

ALLOWED = "allowed"  # the fact: the row of the attack before which rows are charged; 0: none
DIGITS = 16  # of a position; a stranger's file may hold any text
MOST = 1 << 24  # rows: no allowance is larger
ENDED = "the process ended before the answers were recorded"


@dataclass(frozen=True)
class Answered:
    """A batch within the allowance, with its answers.

    Attributes:
        position: of its first row.
        digests: 16 bytes a row.
        answers: as `tensor_codec.encode` gives them.
        kept: the packed inputs, if the run keeps them.
    """

    position: int
    digests: bytes
    answers: tuple[str, bytes]
    kept: Packed | None = None


def left(facts: Mapping[str, str], settled: int) -> int:
    """Rows of the allowance that are not recorded, of an account with so many settled rows."""
    noted = facts.get(ALLOWED, "0")
    return max(0, int(noted) - settled) if noted.isdecimal() and len(noted) < DIGITS else 0


def record(
    events: EventWriter, inputs: KeptInputs, batches: Sequence[Answered], allowed: int
) -> dict[str, str]:
    """Write batches and the next allowance in one transaction. Returns its fact.

    Raises:
        LedgerError: the disk is full, or the ledger in use; nothing is written.
    """
    fact = {ALLOWED: str(allowed)}
    kept = [batch.kept for batch in batches if batch.kept is not None]
    offset = 0
    if kept:
        with disk_faults(inputs.path):
            offset = inputs.append(b"".join(one.payload for one in kept))
    start = offset
    try:
        with events.transaction():
            for batch in batches:
                number = events.reserved("attack", batch.position, batch.digests)
                encoding, blob = batch.answers
                place = (batch.kept.form, offset) if batch.kept else (None, None)
                values = (encoding, *place, 0, None)
                events.completed(Outcome(number, "settled", "", values, blob))
                offset += len(batch.kept.payload) if batch.kept else 0
            events.noted(fact)
    except BaseException:
        if kept:
            inputs.take_back(start)
        raise
    return fact


def lose(events: EventWriter, position: int, rows: int, reason: str) -> dict[str, str]:
    """Record what is left of the allowance as lost, and end it. Returns its fact."""
    fact = {ALLOWED: "0"}
    with events.transaction():
        batch = events.reserved("attack", position, bytes(DIGEST_BYTES * rows))
        events.completed(Outcome(batch, "lost", "", (reason, 0)))
        events.noted(fact)
    return fact
