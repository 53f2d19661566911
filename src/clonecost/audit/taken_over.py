"""An evaluation without a query: another run has paid for the victim's answers to the test rows.

The runs of a panel or of a grid have one victim and one test set. The first of them buys the
answers. The ledgers of the others record the same rows and answers, and as a fact which run paid
for them (`oracle.record.TAKEN_OVER`): these rows count in no total of theirs.
"""

import json
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from clonecost.errors import Advice, LedgerError, SetKey
from clonecost.oracle.delivery import current
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.paid_rows import PaidRows, Recorded
from clonecost.oracle.payer import payer
from clonecost.oracle.record import TAKEN_OVER
from clonecost.oracle.tensor_codec import row_digests
from clonecost.persistence import run_folder
from clonecost.types import Victim, answered


def taken_over(ledger: Ledger, source: Path | None) -> Victim | None:
    """What answers the evaluation of a run from another run's ledger; None: the victim does.

    A run that bought evaluation rows itself goes on so. One that took rows over goes on with the
    run that it names.

    Args:
        ledger: of the run.
        source: the folder of the run that paid, where `payer` finds it; None: for a new run,
            there is none.

    Raises:
        LedgerError: the source is not of the same victim and test set, or is not there.
    """
    run = ledger.path.resolve().parent
    fact = ledger.fact(TAKEN_OVER)
    if fact is not None:
        named = str(json.loads(fact)["run"])
        if (found := payer(run, named)) is None:
            raise LedgerError(
                f"{run} takes its evaluation from {named!r}, which is not beside it", SetKey("out")
            )
        return _FromLedger(found)
    own = ledger.totals("evaluation")
    if source is None or own.settled or own.lost:
        return None
    with closing(PaidRows.read(source / run_folder.LEDGER)) as other:
        theirs, mine = json.loads(other.audit), json.loads(ledger.audit)
        if any(theirs[part] != mine[part] for part in ("victim", "test")):
            raise LedgerError(
                f"{source} has another victim or test set, so its answers do not fit this run",
                SetKey("out"),
            )
        name = Path(os.path.relpath(source.resolve(), run.parent)).as_posix()
        if payer(run, name) is None:
            raise ValueError(f"{source} is not where a run looks for another one")
        ledger.note(**{TAKEN_OVER: json.dumps({"run": name, "head": other.head})})
    return _FromLedger(source)


@dataclass(frozen=True)
class _FromLedger:
    """Answers rows as the evaluation account of another run has recorded them."""

    source: Path

    def __call__(self, inputs: Tensor) -> Tensor:
        delivery = current()
        delivery.track()  # and no row is ever sent
        found = self._recorded(delivery.position, len(inputs))
        if found is None or found.digests != row_digests(inputs):
            raise LedgerError(
                f"{self.source} has not paid for the evaluation rows that this run takes from it",
                Advice("restore that folder from a copy"), SetKey("out"),
            )  # fmt: skip
        for row in (~answered(found.answers)).nonzero().flatten().tolist():
            delivery.refused_for_good(row, f"refused in {self.source.name}")
        filler = found.answers.clone()
        filler[~answered(filler)] = 1 / filler.shape[1]  # dropped by the oracle
        return filler.to(inputs.device)

    def _recorded(self, position: int, count: int) -> Recorded | None:
        path = self.source / run_folder.LEDGER
        if not path.is_file():
            return None
        with closing(PaidRows.read(path)) as other:
            return other.recorded("evaluation", position, count)
