"""The command line.

Exit status: 0 done, 1 a `--fail-above` limit was crossed, 2 it cannot be done (one sentence on
standard error says why and what to do), 130 stopped by Ctrl-C.
"""

import io
import sys

from clonecost.cli.audit import app, audit, plan
from clonecost.cli.runs import replay, report, transfer, verify
from clonecost.cli.serve import serve
from clonecost.cli.suite import suite

__all__ = [
    "app",
    "audit",
    "main",
    "plan",
    "replay",
    "report",
    "serve",
    "suite",
    "transfer",
    "verify",
]


def main() -> None:
    """The entry point of the `clonecost` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # whatever the terminal's encoding can show
    app()
