"""Is a run's record whole and unaltered, and does it agree with the result?"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.persistence.disk import file_digest
from clonecost.result import Result, read_result


def verify(run: Path) -> list[str]:
    """What is wrong with a run: its ledger's chain, its kept inputs, its files. [] is nothing.

    Raises:
        LedgerError: the ledger is missing or cannot be read at all.
    """
    with closing(Ledger.read(run / run_folder.LEDGER)) as ledger:
        faults = ledger.verify()
        if faults or not (run / run_folder.RESULT).is_file():
            return faults
        return [*_altered(run, ledger), *_disagreements(read_result(run), ledger)]


def _altered(run: Path, ledger: Ledger) -> Iterator[str]:
    """The files whose digests the audit noted when it ended."""
    for name, digest in json.loads(ledger.fact("files") or "{}").items():
        path = run / name
        if not path.is_file():
            yield f"{name} is missing"
        elif file_digest(path) != digest:
            yield f"{name} was altered after the audit wrote it"


def _disagreements(result: Result, ledger: Ledger) -> Iterator[str]:
    attack, evaluation = ledger.totals("attack"), ledger.totals("evaluation")
    spot = ledger.totals("spot")
    rows = sum(account.settled + account.lost for account in (attack, evaluation, spot))
    said_and_found = [
        ("head of the chain", result.provenance.ledger_head, ledger.head),
        ("rows in the ledger", result.provenance.ledger_rows, rows),
        ("rows spent", result.spent, attack.settled),
        ("rows lost", result.lost, attack.lost),
        ("rows of the evaluation", result.evaluation, evaluation.settled + evaluation.lost),
        (
            "rows of spot checks",
            result.spot_check.rows if result.spot_check else 0,
            spot.settled + spot.lost,
        ),
    ]
    for what, said, found in said_and_found:
        if said != found:
            yield f"result.json says {what} {said}, the ledger {found}"
