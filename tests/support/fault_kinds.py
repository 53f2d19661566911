"""What befalls a session, a run folder between sessions, or a snapshot."""

import errno
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.support.fault_bench import Bench, Disturb, Wire
from tests.support.toys import CLASSES
from torch import Tensor

from clonecost.audit import run_audit
from clonecost.errors import LedgerError

# Each sets a session up, in the child, and returns nothing. `at`: rows from now on until it strikes


def once(at: int, strike: Disturb) -> Disturb:
    """Strike when the session's `at`-th row is asked."""
    seen = 0

    def disturb(wire: Wire, rows: int) -> Tensor | None:
        nonlocal seen
        seen += rows
        return strike(wire, rows) if seen - rows < at <= seen else None

    return disturb


def fails(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    error = dice.choice([ConnectionError("gone"), TimeoutError("late"), ValueError("what?")])

    def strike(wire: Wire, rows: int) -> Tensor:
        raise error

    wire.disturb = once(at, strike)


def nonsense(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    kind = dice.choice(["nan", "inf", "negative", "wide", "short", "none", "logits"])

    def strike(wire: Wire, rows: int) -> Tensor:
        good = torch.full((rows, CLASSES), 1 / CLASSES)
        return {
            "nan": good * float("nan"), "inf": good * float("inf"), "negative": good - 1,
            "wide": torch.ones(rows, CLASSES + 1) / (CLASSES + 1), "short": good[1:],
            "none": "not a tensor", "logits": good * 9,
        }[kind]  # type: ignore[return-value]  # fmt: skip

    wire.disturb = once(at, strike)


def ctrl_c_while_asking(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    def strike(wire: Wire, rows: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    wire.disturb = once(at, strike)


def killed_while_asking(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    def strike(wire: Wire, rows: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    wire.disturb = once(at, strike)


def ctrl_c(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """At any bytecode."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.001, 1.0))


def killed(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """At any machine instruction: nobody handles the alarm."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.001, 1.0))


def file_limit(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """No file may grow beyond a size: SQLite's, the kept inputs, snapshots, the result."""
    largest = max((f.stat().st_size for f in bench.run.rglob("*") if f.is_file()), default=0)
    limit = dice.choice([4096, largest // 2, largest, largest + dice.randrange(1, 200_000)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def full_disk(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """The n-th file that is made durable by us cannot be."""
    left, sync = dice.randrange(1, 60), os.fsync

    def fsync(fd: Any) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(fd)

    os.fsync = fsync


def clock_jumps(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """By days, forwards and back; then something else strikes."""
    true_time = time.time
    time.time = lambda: true_time() + dice.uniform(-1e6, 1e6)
    fails(bench, wire, at, dice)


def second_process(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """Another one wants the same run folder while this one asks, and is refused."""

    def strike(wire: Wire, rows: int) -> None:
        with pytest.raises(LedgerError, match="in use by another process"):
            run_audit(bench.audit())

    wire.disturb = once(at, strike)


def slow(bench: Bench, wire: Wire, at: int, dice: random.Random) -> None:
    """A late answer is an answer."""

    def strike(wire: Wire, rows: int) -> None:
        time.sleep(0.05)

    wire.disturb = once(at, strike)


Fault = Callable[[Bench, Wire, int, random.Random], None]


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (fails, nonsense, ctrl_c_while_asking, killed_while_asking, ctrl_c, killed,
                  file_limit, full_disk, clock_jumps, second_process, slow)
}  # fmt: skip


ANYWHERE = {"ctrl_c", "killed"}  # may come between the charge and the question


def power_cut(bench: Bench, dice: random.Random) -> None:
    """After a kill: what was not synced is garbage, or gone."""
    for name in ("ledger.sqlite-wal", "inputs.bin"):  # half a page after the last commit
        path = bench.run / name
        if path.is_file() and dice.random() < 0.5:
            with path.open("ab") as file:
                file.write(dice.randbytes(dice.randrange(1, 5_000)))
    if dice.random() < 0.5:
        (bench.run / "ledger.sqlite-shm").unlink(missing_ok=True)
    for name in ("clone.safetensors.0123abcd.part", "snapshots/000001.safetensors.0123abcd.part"):
        if (bench.run / name).parent.is_dir() and dice.random() < 0.3:
            (bench.run / name).write_bytes(dice.randbytes(100))


def damaged_snapshot(bench: Bench, dice: random.Random) -> None:
    found = sorted((bench.run / "snapshots").glob("*.safetensors"))
    if found and dice.random() < 0.3:
        path = dice.choice(found)
        content = bytearray(path.read_bytes())
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(
            content if dice.random() < 0.5 else content[: dice.randrange(len(content))]
        )
