"""The attack of a spec that names none: one that fits the victim's kind. Imports no torch.

Both defaults need no more than the predicted class, so that they fit every kind of answers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clonecost.data.bundled_tables import TABLES
from clonecost.data.text_catalogue import TEXTS
from clonecost.victims.file_kinds import OF_TABLES
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, TEXT_VICTIMS, VICTIMS

ON_IMAGES = "knockoff:shared"  # proxy images, labelled by the victim
ON_TABLES = "tramer_adaptive_retrain"  # rows of the columns' ranges: fits every model of a table
ON_TEXTS = "text_knockoff"  # texts of the pool, labelled by the victim
TABLE_FILES = (".csv", ".parquet")
TEXT_FILE = ".txt"  # one text a line


def default_attack(keys: Mapping[str, Any]) -> str:
    """The attack for the keys of a spec, written or checked, that has none.

    Example:
        >>> default_attack({"victim": "model.skops", "test": "rows.csv"})
        'tramer_adaptive_retrain'
    """
    if says_text(keys):
        return ON_TEXTS
    return ON_TABLES if says_table(keys) else ON_IMAGES


def says_text(keys: Mapping[str, Any]) -> bool:
    """Whether the victim takes texts, as the keys of its spec state: columns are never guessed.

    Example:
        >>> says_text({"victim": "m:f", "test": "rows.csv", "text_column": "review"})
        True
    """
    victim, test = str(keys.get("victim") or ""), str(keys.get("test") or "")
    if victim in VICTIMS or victim in TABLE_VICTIMS:
        return False
    return (
        victim in TEXT_VICTIMS
        or bool(keys.get("text_column"))
        or test in TEXTS
        or Path(test).suffix.lower() == TEXT_FILE
    )


def says_table(keys: Mapping[str, Any]) -> bool:
    """Whether the victim takes rows of a table, as far as the keys of its spec show.

    Example:
        >>> says_table({"victim": "digits-lenet"}), says_table({"victim": "m:f", "test": "iris"})
        (False, True)
    """
    victim, test = str(keys.get("victim") or ""), str(keys.get("test") or "")
    if victim in VICTIMS or says_text(keys):
        return False
    return (
        victim in TABLE_VICTIMS
        or bool(keys.get("features"))
        or Path(victim).suffix.lower() in OF_TABLES
        or test in TABLES
        or (Path(test).suffix.lower() in TABLE_FILES and not Path(test).is_dir())
    )
