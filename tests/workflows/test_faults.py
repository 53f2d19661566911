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
from tests.support.fault_bench import (
    BUDGET,
    TEST_ROWS,
    Bench,
    Wire,
    accounted,
    files,
    linear,
    outcome,
)

from clonecost.audit import run_audit
from clonecost.oracle.ledger import Ledger
from clonecost.result import read_result

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="sessions are forks")


@pytest.mark.parametrize("how", [("1", "--seed", "1"), ("1",), ("1", "--http")])
def test_a_sample_of_schedules(how: tuple[str, ...], tmp_path: Path) -> None:
    """One sample is always the same; the others are new every day, and print their seed."""
    count, *more = how
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.faults", "--schedules", count, *more],
        capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed ")
    assert f"{count} schedules, 0 broken" in done.stdout


def test_a_run_folder_that_is_copied_while_the_run_goes_on(tmp_path: Path) -> None:
    """What a backup or a power cut would leave: it opens, is whole, and goes on to the same end."""
    wire = Wire(linear())
    bench = Bench("disguide", tmp_path / "run-on", wire)
    bench.folder.mkdir()
    wire.disturb = lambda wire, rows: time.sleep(0.02)
    script = (
        "import sys, time, torch; torch.set_num_threads(1); from pathlib import Path\n"
        "from tests.support.fault_bench import Bench, Wire, linear\n"
        "from clonecost.audit import run_audit\n"
        "wire = Wire(linear()); wire.disturb = lambda wire, rows: time.sleep(0.02)\n"
        "run_audit(Bench('disguide', Path(sys.argv[1]), wire).audit())"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(bench.folder)], cwd=ROOT)
    copies: list[Path] = []
    try:
        while process.poll() is None and len(copies) < 3:
            time.sleep(0.07)
            process.send_signal(signal.SIGSTOP)
            if (bench.run / "ledger.sqlite").is_file() and not (bench.run / "result.json").exists():
                copies.append(tmp_path / f"copy{len(copies)}")
                shutil.copytree(bench.run, copies[-1] / "run")
            process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0
    finally:
        process.kill()
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
