"""Detectors on the ledger of a million rows: seconds and memory, in a process of its own.

The ledger is made up: random digests, and answers from a Dirichlet, in batches of 1,000. `inputs`
says whether images of 8 bits are kept with it; then the detectors that read inputs watch as many
rows as fit into 1 GiB. The goal is in processor time: on a machine whose cores are taken the wall
says little.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import Outcome, Row
from clonecost.detectors import DETECTORS
from clonecost.monitoring.benign import accounts_of
from clonecost.monitoring.judging import judge
from clonecost.monitoring.ledger_stream import attack_stream, stream_of
from clonecost.oracle.input_store import Packed
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.paid_rows import PaidRows

CLASSES, SHAPE, BATCH = 10, (1, 28, 28), 1_000
TEST_ROWS = 10_000
SECONDS, GIB = 60.0, 2.0


def make_ledger(folder: Path, rows: int, *, inputs: bool) -> Path:
    """A ledger with `rows` settled rows of an attack."""
    rng = np.random.default_rng(0)
    path = folder / "ledger.sqlite"
    ledger = Ledger(path, audit="benchmark", input_shape=SHAPE, num_classes=CLASSES)
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        answers = rng.dirichlet(np.full(CLASSES, 0.3), count).astype(np.float32)
        images = rng.integers(0, 256, (count, *SHAPE), np.uint8)
        batch = ledger.reserve(
            account="attack", position=start, digests=rng.bytes(16 * count),
            kept=Packed("uint8", images.tobytes()) if inputs else None,
        )  # fmt: skip
        ledger.settle(batch, torch.from_numpy(answers))
    ledger.close()
    return path


def watch(path: Path, name: str, *, inputs: bool, accounts: int) -> None:
    """Read the ledger and judge it with one detector; print seconds and the largest memory."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    began, worked = time.perf_counter(), time.process_time()
    record = PaidRows.read(path)
    attack = attack_stream(record, "probs", inputs=inputs)
    read = time.perf_counter() - began
    images = torch.from_numpy(rng.integers(0, 256, (TEST_ROWS, *SHAPE), np.uint8))
    answers = torch.from_numpy(rng.dirichlet(np.full(CLASSES, 0.1), TEST_ROWS).astype(np.float32))
    honest = stream_of(rng.bytes(16 * TEST_ROWS), answers, "probs", images if inputs else None)
    traffic = accounts_of(honest, accounts=accounts, rate=0.01, source="made up")
    judge(name, DETECTORS[name](), attack, traffic, rate=0.01, curve=[])
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rows": len(attack), "read": read, "all": time.perf_counter() - began,
                      "cpu": time.process_time() - worked,
                      "gib": kilobytes / 2**20}))  # fmt: skip


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    rows = 3_000 if toy else 100_000 if quick else 1_000_000
    accounts = 198 if toy else 400
    outcome = Outcome("detectors", f"Detectors on a ledger of {rows:,} rows, one core")
    names = ["labels"] if toy else list(DETECTORS)
    for inputs in (False,) if toy else (False, True):
        with tempfile.TemporaryDirectory() as folder:
            path = make_ledger(Path(folder), rows, inputs=inputs)
            for name in names:
                reads = DETECTORS[name].declares.reads != "answers"
                if inputs != reads and not (name == "duplicates" and not inputs):
                    continue
                code = (
                    "from pathlib import Path; from benchmarks.detectors import watch; "
                    f"watch(Path({str(path)!r}), {name!r}, inputs={inputs}, accounts={accounts})"
                )
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                      check=True)  # fmt: skip
                found = json.loads(done.stdout.splitlines()[-1])
                met = found["cpu"] < SECONDS and found["gib"] < GIB
                case = f"{name}, inputs {'kept' if inputs else 'not kept'}, {found['rows']:,} rows"
                numbers = {
                    "seconds": found["all"], "CPU seconds": found["cpu"],
                    "of these reading": found["read"], "GiB": found["gib"],
                }  # fmt: skip
                goal = f"< {SECONDS:.0f} CPU s, < {GIB:.0f} GiB"
                outcome.rows.append(Row(case, numbers, goal, met if rows >= 1_000_000 else None))
    return outcome
