"""`python -m prose`: check README, docs, examples and the texts in the source.

Exit status 1: there are faults. codespell finds misspelt words, and American spellings by its own
list read backwards. proselint finds cliches and doubled words, and runs our word list (rules.toml)
as checks of its own. Every file is checked as a copy that holds its prose only.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import codespell_lib
from proselint.checks import __register__ as PROSELINT
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, Padding, types
from proselint.registry.checks.engine import Fancy, RegexOptions
from proselint.tools import LintFile

from prose.extract import files, prose

ROOT = Path(__file__).parent.parent
RULES: dict[str, Any] = tomllib.loads((ROOT / "prose/rules.toml").read_text(encoding="utf-8"))


def british() -> str:
    """codespell's British-to-American list, turned round: `behavior->behaviour`."""
    data = Path(codespell_lib.__file__).parent / "data" / "dictionary_en-GB_to_en-US.txt"
    pairs = (line.split("->") for line in data.read_text(encoding="utf-8").split())
    return "".join(f"{us}->{gb}\n" for gb, us in pairs if "," not in us)


def own_checks() -> Iterator[Check]:
    """rules.toml as checks of proselint."""
    for table, padding in (("instead", Padding.WORDS_IN_TEXT), ("numbers", Padding.RAW)):
        for pattern, better in RULES[table].items():
            yield Check(
                types.PreferredForms({pattern: better}, padding),
                engine=Fancy(RegexOptions(case_insensitive=pattern == pattern.lower())),
                path=f"clonecost.{table}",
                message="'{1}': write {0}.",
            )


def spelling(folder: Path) -> Iterator[str]:
    """What codespell finds in the prose below `folder`."""
    dictionary = folder / "british.dict"
    dictionary.write_text(british(), encoding="utf-8")
    options = ["-D", "-", "-D", str(dictionary), "-L", ",".join(RULES["words"])]
    found = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *options, "--skip", dictionary.name, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.stderr or found.returncode not in (0, 65):  # 65: something was found
        raise SystemExit(found.stderr)
    yield from (line.removeprefix("./") for line in found.stdout.splitlines())


def style(name: str, text: str) -> Iterator[str]:
    """What proselint and our word list find in the prose of one file."""
    config = Config(max_errors=1000, checks=dict.fromkeys([*RULES["proselint"], "clonecost"], True))
    file = LintFile(name, text)
    for result in file.lint(config):
        if re.search(r"\n\s*\n| {2}", file.content[slice(*result.check_result.span)].strip()):
            continue  # "an audit" in a heading and in the next paragraph, or around code
        row, column = result.pos
        yield f"{name}:{row}:{column}: {result.check_result.message}"


def check(paths: list[Path], root: Path = ROOT) -> list[str]:
    """The faults in the prose of these files, as `path:line: what, and what instead`."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            name = path.relative_to(root).as_posix()
            copy = Path(folder, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text := prose(path), encoding="utf-8")
            faults += style(name, text)
        faults += spelling(Path(folder))
    return sorted(faults)


CheckRegistry().register_many((*PROSELINT, *own_checks()))

if __name__ == "__main__":
    given = [Path(name).resolve() for name in sys.argv[1:]]  # files to look at, allow-listed or not
    faults = check(given or list(files(ROOT, RULES["files"], RULES["excluded"] + RULES["not_yet"])))
    print("\n".join(faults))
    sys.exit(bool(faults))
