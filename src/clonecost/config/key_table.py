"""The key table of `docs/spec.md`, from the schema.

After a change of the schema, write the table again (a test compares the two):

    python -m clonecost.config.key_table docs/spec.md
"""

import sys
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel

from clonecost.config.key import Key, default, form, key_of, metavar
from clonecost.config.schema import Spec

BEGIN, END = "<!-- keys of the schema -->\n", "<!-- end of the keys -->\n"


def key_table(model: type[BaseModel] = Spec) -> str:
    """Markdown: for every group of keys a heading and a table of key, value, default and meaning.

    A key that may change when a run resumes is marked with an asterisk.
    """
    fields = model.model_fields
    rows = [(name, key_of(name, field)) for name, field in fields.items()]
    text = ""
    for panel, group in groupby(rows, key=lambda row: row[1].panel):
        if panel:
            text += f"### {panel}\n\n"
        text += "| key | value | default | what |\n|---|---|---|---|\n"
        for name, key in group:
            text += _row(name, key, model)
        text += "\n"
    return text


def refreshed(page: str, model: type[BaseModel] = Spec) -> str:
    """The page with a new key table between its two marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}\n{key_table(model)}{end}{after}"


def _row(name: str, key: Key, model: type[BaseModel]) -> str:
    field = model.model_fields[name]
    word = metavar(field, key)
    value = {
        "switch": "`true` or `false`",
        "value": f"`{word}`",
        "repeated": f"`{word}`, or a list",
        "commas": f"`[{word.replace(',', ', ')}]`",
        "settings": "tables `[set.ATTACK]`",
        "table": "table",
    }[form(field)]
    free = "\\*" if key.free else ""
    default_word = default(field, key)
    if field.is_required():
        default_word = "required"
    elif field.default is False:
        default_word = "false"
    cells = [f"`{name}`{free}", value, default_word, key.help]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
