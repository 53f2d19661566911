"""Random fault schedules, a few of them, and copies made half way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.cli_runs import FORKS
from tests.support.fault_bench import (
    BUDGET,
    TEST_ROWS,
    Bench,
    Wire,
    accounted,
    files,
    linear,
    outcome,
    played_slowly,
)

from clonecost.audit import run_audit
from clonecost.oracle.ledger import Ledger
from clonecost.result import read_result

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="sessions are forks")


SAMPLE = [["--seed", "1"], [], ["--http"]]
PLAY = (
    "import sys; from tests.support.faults import main\n"
    f"sys.exit(max(main(['--schedules', '1', *how]) for how in {SAMPLE}))"
)


def test_a_sample_of_schedules() -> None:
    """One sample is always the same; the others are new every day, and print their seed."""
    done = subprocess.run(
        [sys.executable, "-c", PLAY], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("seed ") == len(SAMPLE)
    assert done.stdout.count("1 schedules, 0 broken") == len(SAMPLE)


def test_a_run_folder_that_is_copied_while_the_run_goes_on(tmp_path: Path) -> None:
    """What a backup or a power cut would leave: it opens, is whole, and goes on to the same end."""
    bench = Bench("disguide", tmp_path / "run-on", Wire(linear()))
    bench.folder.mkdir()
    process = FORKS.Process(target=played_slowly, args=("disguide", bench.folder))
    process.start()
    assert process.pid is not None
    copies: list[Path] = []
    try:
        while process.is_alive() and len(copies) < 3:
            time.sleep(0.07)
            os.kill(process.pid, signal.SIGSTOP)
            if (bench.run / "ledger.sqlite").is_file() and not (bench.run / "result.json").exists():
                copies.append(tmp_path / f"copy{len(copies)}")
                shutil.copytree(bench.run, copies[-1] / "run")
            os.kill(process.pid, signal.SIGCONT)
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    assert len(copies) == 3
    straight = outcome(read_result(bench.run)), files(bench)
    for copy in copies:
        again = Wire(linear())
        other = Bench("disguide", copy, again)
        before = accounted(other)[0]  # opens, and the chain is whole
        assert (outcome(run_audit(other.audit())), files(other)) == straight
        with closing(Ledger.read(other.run / "ledger.sqlite")) as ledger:
            lost = ledger.totals("attack").lost + ledger.totals("evaluation").lost
            spot = ledger.totals("spot").settled
        assert before + again.rows == TEST_ROWS + read_result(other.run).spent + lost + spot
        assert read_result(other.run).spent <= BUDGET
