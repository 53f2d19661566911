"""Every error this package raises on purpose.

CloneCostError
├── SpecError      the audit as written cannot be run (unknown name, typo, contradiction)
├── DataError      a data set, or a generator trained on one, is missing, broken, or does not fit
├── VictimError    the victim cannot be loaded, failed, or answered with something unusable
├── QueryError     the inputs are not what the victim's API accepts; nothing was sent
├── LostRowsError  too many rows were paid without an answer; no more are risked
├── BudgetError    the batch does not fit the remaining budget; nothing was sent
├── AnswersError   the attack needs answers that this threat model does not give
├── LedgerError    the ledger is broken, altered, in use, or of another audit
├── ReplayError    a resumed run asked something else than the recorded run did
├── PrecisionError arithmetic too coarse for finite differences
└── RunError       a run folder is missing, incomplete, or cannot be written
"""


class CloneCostError(Exception):
    """Base class: `except CloneCostError` catches everything we raise on purpose.

    The message is one sentence that names the thing and the remedy; the command line prints it and
    exits with status 2.
    """


class SpecError(CloneCostError):
    pass


class DataError(CloneCostError):
    pass


class VictimError(CloneCostError):
    pass


class QueryError(CloneCostError):
    pass


class LostRowsError(CloneCostError):
    pass


class BudgetError(CloneCostError):
    def __init__(self, *, requested: int, spent: int, budget: int) -> None:
        self.requested, self.spent, self.budget = requested, spent, budget
        super().__init__(
            f"asked for {requested:,} queries with {budget - spent:,} left "
            f"({spent:,} of {budget:,} spent); nothing was sent"
        )


class AnswersError(CloneCostError):
    pass


class LedgerError(CloneCostError):
    pass


class ReplayError(CloneCostError):
    pass


class PrecisionError(CloneCostError):
    pass


class RunError(CloneCostError):
    pass


def suggest(kind: str, name: str, known: "list[str] | tuple[str, ...]") -> str:
    """One sentence for an unknown name: what was asked, the nearest known one, and all of them."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(sorted(known)) or 'none'}"
