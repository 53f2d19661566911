"""What can still be read of a damaged ledger, batch by batch.

SQLite stops at the first damaged page of a query. Here each batch is a query of its own, so that
the batches on all other pages are read. Nothing vouches for them: the chain of a damaged ledger
proves nothing, and the rows are for looking at, not for resuming or for evidence.
"""

import io
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clonecost.errors import Advice, LedgerError, RunError
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.input_store import Form, KeptInputs
from clonecost.oracle.ledger_schema import Opening, opening_of, sound_batch
from clonecost.oracle.record import not_a_run
from clonecost.oracle.tensor_codec import decode
from clonecost.persistence import run_folder
from clonecost.persistence.disk import disk_faults
from clonecost.persistence.sqlite_file import open_to_read, time_limit

SALVAGED = "salvaged.npz"
LEAST = 64  # bytes that a batch takes at least: a stranger's number of batches is no reason to wait


@dataclass(frozen=True)
class Salvaged:
    """The result of `salvage`.

    Attributes:
        rows: answered rows that were read, by account.
        unread: batches that could not be read, or hold what no event writes.
    """

    rows: dict[str, int]
    unread: int


def salvage(run: Path, out: Path) -> Salvaged:
    """Write the answered rows that can be read of a run's ledger to `out`/salvaged.npz.

    The file has an entry for each row: `account` and `position`, the digest of the input (16
    bytes), the answer (K values), and `form` and `offset` of the input in `inputs.bin`, where it
    was kept. The ledger is only read.

    Args:
        run: a run folder.
        out: a new folder.

    Raises:
        RunError: `out` exists.
        LedgerError: there is no ledger, or its first page is damaged, so that nothing can be read.

    Example:
        >>> salvage(Path("runs/mine"), Path("rest")).unread  # doctest: +SKIP
        1
    """
    path = run / run_folder.LEDGER
    if out.exists() or out.is_symlink():
        raise RunError(f"{out} exists", Advice("name a folder that does not exist yet"))
    if not path.is_file():
        raise not_a_run(path)
    with (
        disk_faults(path), closing(open_to_read(path, path.with_suffix(".lock"))) as db,
        time_limit(db, path),
    ):  # fmt: skip
        opening = _opening(db, path)
        found, unread = _batches(db, opening, path)
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    rows: Counter[str] = Counter()
    kept = KeptInputs(path.with_name(run_folder.INPUTS), opening.input_shape)
    for account, position, count, digests, encoding, answers, form, offset in found:
        rows[account] += count
        size = 0 if form is None else kept.size_of(form, 1)
        at = np.arange(count)
        values = (
            np.full(count, account), position + at,
            np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
            decode(encoding, answers, opening.num_classes).numpy(),
            np.full(count, form or ""), np.where(form is None, -1, (offset or 0) + size * at),
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    if not rows:
        raise _nothing(path)
    content = io.BytesIO()
    arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    np.savez_compressed(content, **arrays)
    run_folder.make(out)
    run_folder.write(out / SALVAGED, content.getvalue())
    return Salvaged(dict(rows), unread)


_COLUMNS = ("account", "position", "digests", "answers", "form", "offset")


def _opening(db: sqlite3.Connection, path: Path) -> Opening:
    try:
        opening = opening_of(db)
    except sqlite3.DatabaseError:
        opening = None
    if opening is None:
        raise _nothing(path)
    return opening


def _batches(
    db: sqlite3.Connection, opening: Opening, path: Path
) -> tuple[list[tuple[str, int, int, bytes, str, bytes, Form | None, int | None]], int]:
    """The sound settled batches, and how many others could not be read."""
    found, unread, last = [], 0, path.stat().st_size // LEAST
    for question in ("SELECT MAX(id) FROM batches", "SELECT MAX(batch) FROM chain"):
        try:
            (most,) = db.execute(question).fetchone()
            last = min(last, most or 0)
            break
        except sqlite3.DatabaseError:
            continue
    for batch in range(1, last + 1):
        try:
            row = sound_batch(db, batch, opening)
        except sqlite3.DatabaseError:
            row = None
            unread += 1
        else:
            unread += row is None
        if row is not None and row[-1] == "settled":
            found.append(row[:-1])
    return found, unread


def _nothing(path: Path) -> LedgerError:
    return LedgerError(
        f"Nothing of {path} can be read", Advice("restore it from a copy"),
    )  # fmt: skip
