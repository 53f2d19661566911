"""What stands in the ledger of a run folder, as somebody finds it who only reads the file."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from clonecost.oracle.ledger import ACCOUNTS, Ledger


@dataclass(frozen=True)
class Booked:
    """Rows of the attack's account, rows lost on all accounts, and what `verify` finds wrong."""

    settled: int
    lost: int
    lost_on_all_accounts: int
    faults: list[str]


def booked(folder: Path) -> Booked:
    with closing(Ledger.read(folder / "ledger.sqlite")) as ledger:
        totals = ledger.totals("attack")
        lost = sum(ledger.totals(account).lost for account in ACCOUNTS)
        return Booked(totals.settled, totals.lost, lost, ledger.verify())
