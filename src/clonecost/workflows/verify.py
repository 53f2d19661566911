"""Verification: a run's ledger is whole and unaltered, and its files are those it records.

Needs neither torch nor the packages of the reports. `docs/verify.md` lists what is detected, and
what only a head that was kept elsewhere detects.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clonecost.errors import Advice, CloneCostError, SpecError
from clonecost.oracle.hash_chain import GENESIS
from clonecost.oracle.ledger_schema import ACCOUNTS
from clonecost.oracle.payer import payer
from clonecost.oracle.pending import PENDING
from clonecost.oracle.record import TAKEN_OVER, Record
from clonecost.persistence import run_folder
from clonecost.persistence.sqlite_file import BESIDE

# Files without a digest: the database is read row by row, SQLite makes and deletes the others, and
# events are for the eye alone.
_OF_THE_LEDGER = {run_folder.LEDGER, *(run_folder.LEDGER + end for end in BESIDE),
                  "ledger.lock", PENDING, run_folder.EVENTS}  # fmt: skip

LARGEST_RESULT = 1 << 28  # bytes


@dataclass(frozen=True)
class Verification:
    """The result of `verify`.

    Attributes:
        faults: one sentence each; empty if the run is whole and unaltered.
        notes: facts that are no faults: growth since a head, files that are not covered.
        head: the present head of the chain, 64 hexadecimal digits.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]
    head: str


def verify(run: Path, *, head: str | None = None) -> Verification:
    """Check a run: its ledger's chain, its kept inputs, its files, its transfers.

    Args:
        head: a head of the chain that was kept elsewhere, of this or an earlier state of the run.
            Without it a record that was rewritten from its first altered event on, with all files,
            passes.

    Raises:
        LedgerError: the ledger is missing or cannot be read.
        SpecError: `head` is not a head.

    Example:
        >>> from clonecost.workflows.verify import verify
        >>> verify(Path("runs/lenet")).faults  # doctest: +SKIP
        ()
    """
    if head is not None:
        head = _checked(head)
    with closing(Record.read(run / run_folder.LEDGER)) as record:
        faults = record.verify()
        notes: list[str] = []
        if not faults:
            faults = [*_file_faults(run, record), *_transfer_faults(run, record)]
            notes += _not_covered(run, record)
        if not faults:
            faults, told = _taken_over(run, record)
            notes += told
        if not faults and (run / run_folder.RESULT).is_file():
            faults += _disagreements(run, record)
        if head is not None and record.readable:
            rows = record.rows_since(head)
            if rows is None:
                faults.append(
                    f"the head {head} is not in the chain: the ledger was rewritten or cut short "
                    "after that head was kept, or the head belongs to another run"
                )
            elif head != record.head:
                notes.append(f"the run grew by {rows:,} rows since the head {head[:12]}…")
        return Verification(tuple(faults), tuple(notes), record.head)


def _checked(head: str) -> str:
    head = head.strip().lower()
    if len(head) != 64 or set(head) - set("0123456789abcdef") or head == GENESIS.hex():
        raise SpecError(
            "The head is not one of a ledger",
            Advice("give a head as `verify` prints it"), got=head, want="64 hexadecimal digits",
        )  # fmt: skip
    return head


def _file_faults(run: Path, record: Record) -> Iterator[str]:
    """Files of the run folder against the last event that records them."""
    files = record.files or {}
    if not record.finished:
        # an unfinished run has no result: an earlier one is removed when the run resumes
        if (run / run_folder.RESULT).is_file():
            yield (
                f"{run_folder.RESULT} exists, but by the ledger the run has not ended: its last "
                "events were deleted, or the run was stopped while it resumed"
            )
        return
    for name, digest in files.items():
        path = run / name
        if not run_folder.is_inside(run, name):
            yield f"{name!r} is recorded as a file of the run, and lies outside of it or is a link"
            continue
        if digest.startswith("chain:"):
            continue  # another ledger
        if not path.is_file():
            yield f"{name} is missing"
        elif run_folder.digest_of_file(path) != digest:
            yield f"{name} was altered after it was recorded"
    for name in (*run_folder.REPORTED, run_folder.INPUTS):
        if name not in files and (run / name).is_file():
            yield f"{name} was added: the ledger does not record it"


def _transfer_faults(run: Path, record: Record) -> Iterator[str]:
    """The ledgers of transfers: each is a chain of its own, whose head the run's ledger records."""
    recorded, present = _recorded_ledgers(record), _ledgers_of_transfers(run)
    for name in sorted({*recorded, *present}):
        if name not in present or not run_folder.is_inside(run, name):
            yield f"{name} is missing"
            continue
        try:
            with closing(Record.read(run / name)) as other:
                yield from (f"{name}: {fault}" for fault in other.verify())
                if other.head != recorded.get(name, other.head):
                    yield f"{name} was altered: its head is not the one that the run recorded"
        except CloneCostError as error:
            yield error.fact


def _taken_over(run: Path, record: Record) -> tuple[list[str], list[str]]:
    """Faults and notes about evaluation rows for which the ledger of another run paid."""
    fact = record.fact(TAKEN_OVER)
    if fact is None:
        return [], []
    try:
        held = json.loads(fact)
        name, head = str(held["run"]), bytes.fromhex(held["head"]).hex()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return [f"the origin of the evaluation rows cannot be read ({error})"], []
    taken = record.totals("evaluation").taken
    rows = f"{taken:,} rows of the evaluation are taken over from {name}"
    found = payer(run, name)
    if found is None or not (found / run_folder.LEDGER).is_file():
        return [], [f"{rows}, which is not beside the run: its answers were not compared"]
    with closing(Record.read(found / run_folder.LEDGER)) as other:
        if other.rows_since(head) is None or not other.begins_as(record, "evaluation"):
            return [f"{rows}, and are not those that {name} paid for"], []
    return [], [f"{rows}, which paid for them"]


def _recorded_ledgers(record: Record) -> dict[str, str]:
    """Paths of other ledgers with the heads that the run recorded."""
    return {
        name: digest.removeprefix("chain:")
        for name, digest in (record.files or {}).items()
        if digest.startswith("chain:")
    }


def _ledgers_of_transfers(run: Path) -> set[str]:
    folders = (run / name for name in run_folder.LEDGERS)
    paths = (path for folder in folders for path in folder.glob(f"*/{run_folder.LEDGER}"))
    return {path.relative_to(run).as_posix() for path in paths}


def _not_covered(run: Path, record: Record) -> Iterator[str]:
    """A note about the files in the folder that the ledger does not record."""
    covered = {*(record.files or {}), *_OF_THE_LEDGER}
    if not record.finished:  # these are still being made
        covered |= {*run_folder.REPORTED, run_folder.INPUTS, run_folder.SNAPSHOTS}
    beside = sorted(
        path.name + "/" * path.is_dir()
        for path in run.iterdir()
        if path.name not in covered and path.name not in run_folder.LEDGERS
    )
    beside += sorted(_ledgers_of_transfers(run) - {*_recorded_ledgers(record)})
    if beside:
        yield f"not covered by the ledger: {', '.join(beside)}"


def _disagreements(run: Path, record: Record) -> Iterator[str]:
    """A fault for each number in the result that differs from the ledger's."""
    try:
        if (run / run_folder.RESULT).stat().st_size > LARGEST_RESULT:
            raise ValueError("it is larger than any result")
        result = json.loads((run / run_folder.RESULT).read_bytes())
        in_result: dict[str, Any] = {
            "head of the chain": result["provenance"]["ledger_head"],
            "rows in the ledger": result["provenance"]["ledger_rows"],
            "rows spent": result["spent"],
            "rows lost": result["lost"],
            "rows refused": result.get("refused", 0),
            "rows of the evaluation": result["evaluation"],
            "rows that are taken over": result.get("taken_over", 0),
            "rows of spot checks": (result["spot_check"] or {"rows": 0})["rows"],
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield f"{run_folder.RESULT} cannot be read ({type(error).__name__}: {error})"
        return
    totals = {account: record.totals(account) for account in ACCOUNTS}
    paid = {account: each.paid for account, each in totals.items()}
    in_ledger = [record.head_of_rows, sum(paid.values()), totals["attack"].settled,
                 totals["attack"].lost, totals["attack"].refused, paid["evaluation"],
                 totals["evaluation"].taken, paid["spot"]]  # fmt: skip
    for (name, value), recorded in zip(in_result.items(), in_ledger, strict=True):
        if value != recorded:
            yield f"{run_folder.RESULT} has {value} as the {name}, the ledger has {recorded}"
