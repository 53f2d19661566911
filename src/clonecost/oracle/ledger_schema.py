"""The tables of a ledger, and the checks that a stranger's file must pass before it is read.

SQLite stores a value of any type and size in any column, and a file may hold views or triggers in
place of our tables. Only a file with exactly our schema is read, and only if every value has the
type, range and size that an event writes; then no query takes more time or memory than an honest
ledger of the same size. Nothing here needs torch.
"""

import json
import sqlite3
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

from clonecost.oracle.hash_chain import DIGEST_BYTES, GENESIS

FORMAT = "clonecost/ledger/3"
Account = Literal["attack", "evaluation", "spot"]
ACCOUNTS: tuple[Account, ...] = get_args(Account)

BATCHES = """CREATE TABLE batches (
    id       INTEGER PRIMARY KEY,
    account  TEXT    NOT NULL,
    position INTEGER NOT NULL,                    -- of the first row, within the account
    count    INTEGER NOT NULL CHECK (count > 0),  -- rows
    digests  BLOB    NOT NULL,                    -- 16 bytes a row
    at       TEXT    NOT NULL,                    -- UTC time of the reservation
    state    TEXT    NOT NULL CHECK (state IN ('reserved', 'settled', 'lost')),
    reason   TEXT,                                -- why it was lost, or a row of it was refused
    unsent   INTEGER NOT NULL DEFAULT 0,          -- of a lost batch: rows that never arrived
    refused  INTEGER NOT NULL DEFAULT 0,          -- of a settled batch: rows without an answer
    encoding TEXT,                                -- of the answers: 'float32', 'float64', 'label'
    answers  BLOB,
    form     TEXT,                                -- of kept inputs: 'index', 'uint8' or a float
    offset   INTEGER                              -- of kept inputs, in inputs.bin
)"""
BY_POSITION = "CREATE INDEX by_position ON batches (account, position)"
CHAIN = """CREATE TABLE chain (
    seq     INTEGER PRIMARY KEY,
    event   TEXT NOT NULL,
    batch   INTEGER REFERENCES batches (id),
    content TEXT,
    digest  BLOB NOT NULL
)"""
SCHEMA = [  # as SQLite lists the tables, by name
    ("table", "batches", "batches", BATCHES),
    ("index", "by_position", "batches", BY_POSITION),
    ("table", "chain", "chain", CHAIN),
]
EVENT_COLUMNS = {  # the columns of a batch that an event writes
    "reserved": "account, position, count, digests, at",
    "settled": "encoding, answers, form, offset, refused, reason",
    "lost": "reason, unsent",
}
MOST_TEXT = 1 << 24  # bytes of one text: 16 MiB
MOST_VALUES = 1 << 31  # of one row

_KEPT = """(
    encoding IS NOT NULL AND typeof(answers) = 'blob' AND length(answers) = count * CASE encoding
        WHEN 'label' THEN 2 WHEN 'float32' THEN 4 * :classes WHEN 'float64' THEN 8 * :classes END
    AND (form IS NULL AND offset IS NULL OR form IN ('index', 'uint8', 'float32', 'float64')
         AND typeof(offset) = 'integer' AND offset >= 0)
)"""
_FITS = {
    "batches": f"""
    account IN ('attack', 'evaluation', 'spot')
    AND typeof(position) = 'integer' AND position >= 0
    AND typeof(count) = 'integer' AND count > 0
    AND typeof(digests) = 'blob' AND length(digests) <= {DIGEST_BYTES} * count
    AND typeof(at) = 'text' AND length(at) < 100
    AND state IN ('reserved', 'settled', 'lost')
    AND (reason IS NULL OR typeof(reason) = 'text' AND length(reason) <= {MOST_TEXT})
    AND typeof(unsent) = 'integer' AND unsent BETWEEN 0 AND count
    AND typeof(refused) = 'integer' AND refused BETWEEN 0 AND count
    AND ({_KEPT} OR state != 'settled' AND COALESCE(encoding, answers, form, offset) IS NULL)
    """,
    "chain": f"""
    typeof(digest) = 'blob' AND length(digest) = 32
    AND (content IS NULL OR typeof(content) = 'text' AND length(content) <= {MOST_TEXT})
    AND (event IN ('reserved', 'settled', 'lost')
         AND typeof(batch) = 'integer' AND content IS NULL
      OR event IN ('opened', 'noted', 'files') AND batch IS NULL AND content IS NOT NULL)
    """,
}


@dataclass(frozen=True)
class Opening:
    """The content of the first event."""

    audit: str
    num_classes: int
    input_shape: tuple[int, ...]


def altered_schema(db: sqlite3.Connection) -> bool:
    """Whether the file holds other tables than a ledger, or a view, trigger or index more."""
    return _made(db) != SCHEMA


def _made(db: sqlite3.Connection) -> list[tuple[str, ...]]:
    return db.execute(
        "SELECT type, name, tbl_name, CASE WHEN length(sql) < 10000 THEN sql END "
        "FROM sqlite_master ORDER BY name LIMIT 20"
    ).fetchall()


def opening_of(db: sqlite3.Connection) -> Opening | None:
    """The first event of a ledger; None if the file is not one of this format."""
    if not {made for made in SCHEMA if made[0] == "table"} <= set(_made(db)):
        return None  # a view in place of a table would be queried
    row = db.execute(
        "SELECT content FROM chain WHERE seq = 1 AND event = 'opened' AND length(content) <= ?",
        (MOST_TEXT,),
    ).fetchone()
    try:
        content = json.loads(row[0])
        shape, classes = content["input_shape"], content["num_classes"]
        sizes = [*shape, classes]
        whole = all(type(size) is int and 0 < size < MOST_VALUES for size in sizes)
        if content["format"] != FORMAT or not whole or not 0 < len(shape) < 10:
            return None
        if prod(shape) >= MOST_VALUES or not isinstance(content["audit"], str):
            return None
        return Opening(content["audit"], classes, tuple(shape))
    except (TypeError, ValueError, KeyError, RecursionError):
        return None


def last_event(db: sqlite3.Connection) -> tuple[str, bytes]:
    """The last event and its link, the head; ("", GENESIS) of a chain without events."""
    found = db.execute("SELECT event, digest FROM chain ORDER BY seq DESC LIMIT 1").fetchone()
    return found or ("", GENESIS)


def misplaced_value(db: sqlite3.Connection, opening: Opening) -> str:
    """Where a value is that no event writes, such as "row 3 of batches"; empty if there is none."""
    for table, fits in _FITS.items():
        row = db.execute(
            f"SELECT rowid FROM {table} WHERE ({fits}) IS NOT TRUE LIMIT 1",
            {"classes": opening.num_classes},
        ).fetchone()
        if row is not None:
            return f"row {row[0]} of {table}"
    return ""


def sound_batch(db: sqlite3.Connection, batch: int, opening: Opening) -> tuple[Any, ...] | None:
    """One batch by itself; None if it is missing, or holds a value that no event writes.

    Returns:
        (account, position, count, digests, encoding, answers, form, offset, state)
    """
    found: tuple[Any, ...] | None = db.execute(
        "SELECT account, position, count, digests, encoding, answers, form, offset, state "
        f"FROM batches WHERE id = :id AND length(digests) = {DIGEST_BYTES} * count "
        f"AND ({_FITS['batches']})",
        {"id": batch, "classes": opening.num_classes},
    ).fetchone()
    return found


def texts_of(content: object) -> dict[str, str]:
    """The content of an event as texts by name.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(content, str):
        raise ValueError("it holds no text, or one that is too long")
    try:
        texts: Any = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("it holds other values than texts")
    return texts
