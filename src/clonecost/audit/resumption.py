"""A run folder is taken up again: only by the same audit of the same victim."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from clonecost.audit.definition import name_of
from clonecost.defences import Recalling, declaration_of, forgetful
from clonecost.errors import Advice, LedgerError, Remedy, RunWorkflow, SetKey
from clonecost.oracle.ledger import ACCOUNTS, Ledger
from clonecost.persistence import run_folder
from clonecost.registry import snake_case
from clonecost.types import Defence, ThreatModel, Victim, answered

RECALLED = 4096  # rows whose answers are read at once when a state is rebuilt
WORDS = {
    "threat": "threat model", "test": "test rows", "proxy": "proxy data",
    "student_weights": "student's digest",
}  # fmt: skip
DATA = ("victim", "test", "proxy")
OF_A_RUN = (
    run_folder.LEDGER, f"{run_folder.LEDGER}-wal", f"{run_folder.LEDGER}-shm", run_folder.INPUTS,
    run_folder.SPEC, run_folder.SNAPSHOTS,
)  # fmt: skip


def take_up(folder: Path, identity: str) -> str | None:
    """Refuse a folder whose rows another audit has bought; one that has bought none is set aside.

    Args:
        identity: of the audit that takes the folder up, as its ledger will have it.

    Returns:
        A sentence about rows that an attempt of another audit has lost; None: there are none.

    Raises:
        LedgerError: the folder's answers are another audit's (the error says what has changed), or
            another process writes to it.
    """
    path = folder / run_folder.LEDGER
    if not path.is_file():
        return None
    with closing(Ledger.reopen(path)) as ledger:  # refuses a folder that is in use
        before = ledger.audit
        totals = [ledger.totals(account) for account in ACCOUNTS]
    if before == identity:
        return None
    if any(one.settled for one in totals):
        raise _another(folder, before, identity)
    aside = set_aside(folder)
    lost = sum(one.lost for one in totals)
    return f"{lost:,} rows that a failed attempt has lost are recorded in {aside}" if lost else None


def must_hold_its_rows(folder: Path) -> None:
    """Refuse a run with a result whose ledger is empty; a run that was just begun may have that.

    Raises:
        LedgerError: the ledger is empty.
    """
    path = folder / run_folder.LEDGER
    if (folder / run_folder.RESULT).is_file() and path.is_file() and not path.stat().st_size:
        raise LedgerError(
            f"{path} is empty, although the run has a result: the file is damaged", SetKey("out"),
            Advice("restore the folder from a copy"),
        )  # fmt: skip


def must_recall(
    defences: Sequence[Defence], threat: ThreatModel, ledger: Ledger, *remedies: Remedy
) -> str | None:
    """Refuse to go on behind a defence whose state the record does not hold.

    Its next answers would be those of a run that has just begun. A run whose budget is spent asks
    nothing more, and passes.

    Returns:
        For a run that has bought nothing yet, a sentence that says that it cannot be resumed; None:
        it can.

    Raises:
        LedgerError: rows are left to ask, and earlier ones are in the record.
    """
    lost = forgetful(defences, threat.answers)
    if lost is None:
        return None
    shown = "a defence behind it changes its answers"
    if threat.answers != "probs":
        kind = "labels" if threat.answers == "label" else "the top classes"
        shown = f"the API shows {kind} only"
    name = snake_case(name_of(lost))
    why = f"{name} remembers earlier answers, and the record lacks them, because {shown}"
    bought = ledger.totals("attack").settled
    if not bought:
        return f"{why}: if this run is interrupted, it cannot go on"
    if bought >= threat.query_budget:
        return None
    raise LedgerError(
        f"{why}. {bought:,} rows are paid, and the next answers would not be those of this run; "
        "nothing was sent", *remedies,
    )  # fmt: skip


def recall(defences: Sequence[Defence], victim: Victim, ledger: Ledger) -> None:
    """Rebuild the state of the last defence from the attack's answers in the ledger.

    Args:
        victim: behind all the defences.
    """
    last = defences[-1] if defences else None
    if not (declaration_of(last).recalls and isinstance(victim, Recalling)):
        return
    place = 0
    while found := ledger.recorded("attack", place, RECALLED):
        victim.recall(found.answers[answered(found.answers)])  # it never served a row of zeros
        place += len(found.answers)


def set_aside(folder: Path) -> Path:
    """Move the record of a failed first attempt into a folder of its own, failed-N; returns it."""
    number = 1
    while (aside := folder / f"failed-{number}").exists():
        number += 1
    aside.mkdir()
    for name in OF_A_RUN:
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    return aside


def differences(before: str, now: str) -> list[str]:
    """What differs between the identities of two audits, each as a clause.

    Example:
        >>> differences('{"seed": 0}', '{"seed": 1}')
        ['the seed was 0 and is 1']
    """
    try:
        old, new = json.loads(before), json.loads(now)
    except ValueError:
        return []
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return []
    keys = [*new, *(key for key in old if key not in new)]
    return [
        words
        for key in keys
        if old.get(key) != new.get(key)
        for words in _clauses(key, old.get(key), new.get(key))
    ]


def _clauses(key: str, old: Any, new: Any) -> Iterator[str]:
    name = WORDS.get(key, key)
    if isinstance(old, dict) and isinstance(new, dict):
        for one in dict.fromkeys([*old, *new]):
            if old.get(one) != new.get(one):
                yield _was(f"{name}'s {one}", old.get(one), new.get(one))
    elif key in DATA and _name(old) == _name(new) is not None:
        rows = "hold other rows, labels or names of classes than before"
        what = {"victim": "has other weights than before"}.get(key, rows)
        yield f"the {name} {_name(new)} {what}"
    elif key in DATA:
        yield _was(name, _name(old), _name(new))
    else:
        yield _was(name, old, new)


def _name(value: Any) -> str | None:
    return str(value[0]) if isinstance(value, list) and value else None


def _was(name: str, old: Any, new: Any) -> str:
    return f"the {name} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _another(folder: Path, before: str, now: str) -> LedgerError:
    changed = differences(before, now)
    why = f": {'; '.join(changed)}" if changed else ""
    own = [Advice("restore what has changed")] if changed else []
    return LedgerError(
        f"{folder} holds the record of another audit{why}. Its answers are kept, and answers of "
        "two audits are never mixed",
        *own, SetKey("out"), *([] if changed else [RunWorkflow("resume", folder)]),
    )  # fmt: skip
