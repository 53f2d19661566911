"""Which of several runs has paid for an evaluation that the others take over."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from clonecost.oracle.record import Record
from clonecost.persistence import run_folder


def payer(run: Path, name: str) -> Path | None:
    """The folder that a run names as the one that paid; None for any other place than these.

    A ledger may be a stranger's, so it names a folder beside its own (`NAME`, the runs of a panel)
    or in a folder beside its own folder's (`../GROUP/NAME`, the runs of a grid), and no other.
    """
    names = name.removeprefix("../").split("/")
    plain = all(one not in ("", "..") and Path(one).name == one for one in names)
    if not plain or "\\" in name or len(names) != 1 + name.startswith("../"):
        return None
    return run.resolve().parent / name


def paid_evaluation(folders: Iterable[Path], rows: int) -> Path | None:
    """The first of these run folders whose ledger has itself paid for so many evaluation rows."""
    return next((one for one in folders if _evaluated(one) >= rows), None)


def _evaluated(folder: Path) -> int:
    if not (folder / run_folder.LEDGER).is_file():
        return 0
    with closing(Record.read(folder / run_folder.LEDGER)) as record:
        totals = record.totals("evaluation")
    return totals.settled - totals.taken
