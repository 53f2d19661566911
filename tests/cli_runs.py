"""Running the command line in this process: the real parser, real files, captured output."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from clonecost.cli import app

# A victim of one's own, small enough for a test; to be run in the folder of `workbench.make`.
MINE = ["own:probs", "--test", "test.npz", "--proxy", "proxy.npz", "--student", "lenet"]
QUICK = ["--set", "knockoff.epochs=2", "--milestones", "40"]
SMALL_DFME = ["--attack", "dfme", "--set", "dfme.batch_size=8", "--set", "dfme.latent_dim=4",
              "--set", "dfme.generator_width=4", "--set", "dfme.student_steps=2"]  # fmt: skip


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


def run(*words: str | Path) -> Said:
    """`clonecost WORDS...` in the current folder; a traceback is an error of the test."""
    before = list(sys.argv)
    sys.argv = ["clonecost", *map(str, words)]
    try:
        result = CliRunner().invoke(app, sys.argv[1:], catch_exceptions=False)
    finally:
        sys.argv = before
    return Said(result.exit_code, result.stdout, result.stderr)


def environment(bench: Path, **more: str) -> dict[str, str]:
    """For a real process: one thread, the bench's modules, no terminal's colours."""
    path = os.pathsep.join(filter(None, [str(bench), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "clonecost", *map(str, words)]


def asked(log: Path) -> list[str]:
    """Digests of the rows that reached the victim, in order."""
    return log.read_text(encoding="utf-8").split() if log.is_file() else []
