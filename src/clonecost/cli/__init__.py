"""The command line.

Exit status: 0 done, 1 a `--fail-above` limit was exceeded, 2 an error (one line on standard error
states what happened and a remedy), 3 every attack under `--fail-above` failed, 130 stopped by
Ctrl-C.
"""

import io
import sys
from pathlib import Path

from clonecost.cli.audit import app, audit, plan
from clonecost.cli.check import check
from clonecost.cli.defend import defend
from clonecost.cli.detect import detect
from clonecost.cli.fingerprint import fingerprint
from clonecost.cli.huge_pages import ask_for_huge_pages
from clonecost.cli.report import report
from clonecost.cli.runs import export, replay, transfer, verify
from clonecost.cli.serve import serve
from clonecost.cli.suite import suite
from clonecost.cli.train_misinformation import train_misinformation
from clonecost.cli.watch import watch

__all__ = [
    "app",
    "audit",
    "check",
    "defend",
    "detect",
    "export",
    "fingerprint",
    "main",
    "plan",
    "replay",
    "report",
    "serve",
    "suite",
    "train_misinformation",
    "transfer",
    "verify",
    "watch",
]


def main() -> None:
    """The entry point of the `clonecost` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # of what the terminal's encoding cannot show
    ask_for_huge_pages()
    app(args=[with_home(word) for word in sys.argv[1:]])


def with_home(word: str) -> str:
    """A word of the command line with the home folder for `~`, which no shell puts into --key=~/x.

    Example:
        >>> with_home("--budget=5")
        '--budget=5'
    """
    head, mark, value = word.partition("=~/") if word.startswith("--") else ("", "", word)
    if mark:
        return f"{head}={Path('~', value).expanduser()}"
    return str(Path(word).expanduser()) if word.startswith("~/") else word
