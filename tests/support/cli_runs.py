"""Running the command line, here or in a process: the real parser, real files, captured output."""

import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from typer.testing import CliRunner

from clonecost.cli import app, main

# A victim of one's own, small enough for a test; to be run in the folder of `workbench.make`.
# Without the spot check of a resumed run, so that a test can count the attack's rows alone.
MINE = ["own:probs", "--test", "test.npz", "--proxy", "proxy.npz", "--student", "lenet",
        "--spot-check", "0"]  # fmt: skip
# Without a named attack an audit runs a panel of several, which takes longer than a test may.
KNOCKOFF = ["--attack", "knockoff:shared"]
QUICK = [*KNOCKOFF, "--set", "knockoff.epochs=2", "--milestones", "40"]
SMALL_DFME = ["--attack", "dfme", "--set", "dfme.batch_size=8", "--set", "dfme.latent_dim=4",
              "--set", "dfme.generator_width=4", "--set", "dfme.student_steps=2"]  # fmt: skip


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


def run(*words: object) -> Said:
    """`clonecost WORDS...` in the current folder; a traceback is an error of the test."""
    before = list(sys.argv)
    sys.argv = ["clonecost", *map(str, words)]
    try:
        result = CliRunner().invoke(app, sys.argv[1:], catch_exceptions=False)
    finally:
        sys.argv = before
    return Said(result.exit_code, result.stdout, result.stderr)


def assert_one_sentence(said: Said, part: str) -> None:
    """A refusal, whose last line holds this part."""
    assert said.status == 2
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("clonecost: ")
    assert part in last
    assert "unexpected" not in last
    assert "Traceback" not in said.err


def agree(*things: str) -> list[str]:
    """The flags that consent to each thing, KIND:WHAT, of a file."""
    return [word for thing in things for word in ("--consent", thing)]


def environment(bench: Path, **more: str) -> dict[str, str]:
    """For a real process: one thread, the bench's modules, no terminal's colours."""
    path = os.pathsep.join(filter(None, [str(bench), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "clonecost", *map(str, words)]


# Processes for tests that need many: each is forked from one that has imported all of this, so that
# they do not spend most of their time with imports.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["clonecost.workflows.run", "clonecost.report", "clonecost.cli.audit"])


def forked(*words: str | Path, bench: Path, said: Path, **more: str) -> ForkServerProcess:
    """`clonecost WORDS...` in a process of its own, in the bench; what it says goes into a file."""
    process = FORKS.Process(target=_session, args=([*map(str, words)], bench, said, more))
    process.start()
    return process


def _session(words: list[str], bench: Path, said: Path, more: dict[str, str]) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    # tests that a shell runs in the background inherit that SIGINT is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(more)
    os.chdir(bench)
    sys.path.insert(0, str(bench))
    sys.argv = ["clonecost", *words]
    main()


def asked(log: Path) -> list[str]:
    """Digests of the rows that reached the victim, in order."""
    return log.read_text(encoding="utf-8").split() if log.is_file() else []
