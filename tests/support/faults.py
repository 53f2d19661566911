"""Random fault schedules: whatever happens to a run, the books are right and the clone is the same.

    python -m tests.support.faults --schedules 200 --seed 0

A schedule is an attack and a few sessions of one run. Each session is a process of its own that
meets one fault; the last one meets none. The victim counts the rows that reach it in memory that
outlives its process, before it answers. After each session must hold:

    rows at the victim <= settled + lost + reserved rows of the ledger, and equal but for rows that
    were charged and not yet sent when a signal came; never more settled than the budget; the chain
    of digests is whole; whoever is told something is told one sentence

and in the end: clone, curve, traffic and samples are those of the undisturbed run, to the byte.
"""

import argparse
import errno
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.attack_settings import toy_attack
from tests.support.endpoint_servers import Scene, Server, serving
from tests.support.toys import CLASSES, SHAPE, toy_generator, toy_student
from torch import Tensor, nn

from clonecost.audit import Audit, RunOptions, Watcher, run_audit
from clonecost.errors import CloneCostError, LedgerError
from clonecost.oracle.ledger import Ledger
from clonecost.result import Result, read_result
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.victims import torch_victim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim, sending
from clonecost.workflows.verify import verify

BUDGET, TEST_ROWS = 300, 60
ATTACKS = ("knockoff", "dfme", "disguide", "dual_students", "maze", "maze_pd", "ideal",
           "frugal_ripper", "black_box_ripper", "dfms")  # fmt: skip
SAID, STOPPED = 3, 130  # exit statuses: an error of ours, Ctrl-C

Disturb = Callable[["Wire", int], Tensor | None]


class Wire:
    """The victim, with a meter that every process of a run shares, and a place for faults."""

    def __init__(self, victim: Victim) -> None:
        self.victim = victim
        self._meter = mmap.mmap(-1, 8)  # shared with children, and with those that are killed
        self.disturb: Disturb = lambda wire, rows: None

    @property
    def rows(self) -> int:
        return int(struct.unpack("q", self._meter[:8])[0])

    def __call__(self, inputs: Tensor, /) -> Tensor:
        before = self.rows
        self._meter[:8] = struct.pack("q", before + len(inputs))
        wrong = self.disturb(self, len(inputs))
        return self.victim(inputs) if wrong is None else wrong


def linear() -> Victim:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layer = nn.Linear(64, CLASSES)
    with torch.no_grad():
        layer.weight.mul_(8)
        layer.bias.copy_(-layer.weight.sum(1) / 2)
    return torch_victim(nn.Sequential(nn.Flatten(), layer))


def row_by_row(victim: Victim) -> Victim:
    """The same answers in whatever batches the rows come: retries cut them anew."""
    return lambda inputs: torch.cat([victim(row) for row in inputs.split(1)])


@dataclass
class Bench:
    """One run of one attack, and what is the same in all its sessions."""

    attack: str
    folder: Path
    victim: Victim = field(default_factory=linear)
    every: float = 0.0  # between snapshots
    keep: str = "all"

    def audit(self) -> Audit:
        rng = torch.Generator().manual_seed(1)
        inputs = torch.rand(TEST_ROWS, *SHAPE, generator=rng)
        proxy = torch.randint(256, (200, *SHAPE), generator=rng, dtype=torch.uint8)
        return Audit(
            victim=self.victim, attack=toy_attack(self.attack), out=self.folder / "run",
            threat=ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=BUDGET),
            test=LabelledInputs(inputs, linear()(inputs).argmax(1), name="toy"),
            proxy=LabelledInputs(proxy, torch.zeros(200, dtype=torch.int64), name="noise"),
            generators={"toy": toy_generator()}, student=toy_student, milestones=(100, 200),
            options=RunOptions(snapshot_every=self.every, keep=self.keep),  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def run(self) -> Path:
        return self.folder / "run"


# -- faults --------------------------------------------------------------------------------------
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


# -- a victim at the other end of a wire ---------------------------------------------------------

REMOTE = {"ctrl_c", "killed", "full_disk", "file_limit", "slow", "second_process"}


class FaultyServer:
    """An endpoint in a process of its own: a share of its requests goes wrong, and it counts."""

    def __init__(self) -> None:
        self._meter, self._mood = mmap.mmap(-1, 8), mmap.mmap(-1, 8)
        here, there = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            self._serve(there)
        self.url = os.read(here, 100).decode()

    @property
    def rows(self) -> int:
        """That it worked on, answered or not."""
        time.sleep(0.3)  # what a killed client had sent may still come in
        return int(struct.unpack("q", self._meter[:8])[0])

    def upset(self, percent: int) -> None:
        """So many requests of a hundred go wrong from now on."""
        self._mood[:8] = struct.pack("q", percent)

    def close(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def _serve(self, there: int) -> None:
        meter, mood, dice = self._meter, self._mood, random.Random(0)
        kinds: list[Scene] = [
            ("status", 429, {"Retry-After": "0.02"}, ""), ("status", 429, {}, "slowly"),
            ("status", 503, {}, "busy"), ("status", 500, {}, "<html>"), ("status", 404, {}, "gone"),
            "reset", "slow", "half",
        ]  # fmt: skip

        def wrong() -> bool:
            return bool(dice.randrange(100) < struct.unpack("q", mood[:8])[0])

        class Scenes(list[Scene]):
            def __bool__(self) -> bool:
                return wrong()

            def pop(self, index: object = 0) -> Scene:
                return dice.choice(kinds)

        class Metered(Server):
            def __setattr__(self, name: str, value: object) -> None:
                if name == "rows":
                    meter[:8] = struct.pack("q", value)
                super().__setattr__(name, value)

        def spoil(scores: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
            if not wrong() or dice.random() < 0.7:
                return scores
            return dice.choice([scores * np.nan, scores[:, 1:], scores[:-1], scores - 1])

        server = Metered(row_by_row(linear()), list(SHAPE), CLASSES, scenes=Scenes(), spoil=spoil)
        with serving(server):
            os.write(there, server.model_url.encode())
            signal.pause()
        os._exit(0)


class RemoteWire(Wire):
    """Faults on this side of the wire; the meter is the server's."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server
        self.disturb = lambda wire, rows: None

    @property
    def rows(self) -> int:
        return self.server.rows

    def __call__(self, inputs: Tensor, /) -> Tensor:
        self.disturb(self, len(inputs))
        return self.victim(inputs)


class RemoteBench(Bench):
    def audit(self) -> Audit:
        sending.FIRST_PAUSE, sending.LONGEST_PAUSE = 0.01, 0.02
        wire = self.victim
        assert isinstance(wire, RemoteWire)
        settings = EndpointSettings(batch_size=8, concurrency=2, timeout=0.5)
        loaded = endpoint_victim(
            wire.server.url, input_shape=SHAPE, num_classes=CLASSES, rate=1e6, settings=settings
        )
        wire.victim = loaded.answer
        audit = super().audit()
        remote = replace(
            audit.loaded, endpoint=loaded.endpoint, rows_in_flight=loaded.rows_in_flight
        )
        return replace(audit, victim=remote)


# -- sessions ------------------------------------------------------------------------------------


def session(bench: Bench, wire: Wire, setup: Callable[[], None]) -> tuple[int, str]:
    """The run in a process of its own: (exit status, negative if by a signal; what was said)."""
    said = bench.folder / "said"
    said.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
            try:
                audit = bench.audit()
                setup()
                run_audit(audit, Watcher())
                status = 0
            except CloneCostError as error:
                status = SAID
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                os.write(descriptor, str(error).encode())
            except KeyboardInterrupt:
                status = STOPPED
            except BaseException:
                import traceback

                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                os.write(descriptor, traceback.format_exc().encode())
        finally:
            os._exit(status)
    _, found = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(found), said.read_text() if said.is_file() else ""


def accounted(bench: Bench) -> tuple[int, int]:
    """(all rows in the ledger, those that the attack was answered)."""
    if not (bench.run / "ledger.sqlite").is_file():
        return 0, 0
    try:
        ledger = Ledger.read(bench.run / "ledger.sqlite")
    except LedgerError:  # it ended before the first table was made
        return 0, 0
    with closing(ledger):
        accounts = [ledger.totals(account) for account in ("attack", "evaluation", "spot")]
        faults = ledger.verify()
        assert faults == [], faults
        return sum(p.settled + p.lost + p.reserved for p in accounts), accounts[0].settled


def outcome(result: Result) -> dict[str, object]:
    return result.model_dump(include={"curve", "per_class", "traffic", "search", "spent", "ended"})


def straight(
    attack: str, folder: Path, victim: Victim
) -> tuple[dict[str, object], dict[str, bytes]]:
    """The undisturbed run of an attack."""
    bench = Bench(attack, folder / f"straight-{attack}", victim)
    bench.folder.mkdir(exist_ok=True)
    return outcome(run_audit(bench.audit())), files(bench)


def files(bench: Bench) -> dict[str, bytes]:
    names = "clone.safetensors", "samples.safetensors", "search.safetensors"
    return {name: (bench.run / name).read_bytes() for name in names if (bench.run / name).is_file()}


def play(
    number: int, seed: int, folder: Path,
    known: dict[str, tuple[dict[str, object], dict[str, bytes]]], tally: Counter[str],
    server: "FaultyServer | None" = None,
) -> None:  # fmt: skip
    """One schedule.

    Raises:
        AssertionError: something that must hold does not.
    """
    dice = random.Random(1_000_003 * seed + number)
    attacks = ATTACKS if server is None else ("knockoff", "disguide")
    attack = attacks[number % len(attacks)]
    if attack not in known:
        model = linear() if server is None else row_by_row(linear())
        known[attack] = straight(attack, folder, model)
    wire = Wire(linear()) if server is None else RemoteWire(server)
    bench = (Bench if server is None else RemoteBench)(
        attack, folder / f"{number}", wire, every=dice.choice([0.0, 0.0, 0.05, 120.0]),
        keep=dice.choice(["all", "none"]),
    )  # fmt: skip
    earlier = wire.rows
    if server is not None:
        server.upset(dice.choice([0, 10, 30]))
    bench.folder.mkdir()
    spare = 0  # rows that may be in the ledger and never reached the victim
    for _ in range(dice.randrange(1, 6)):
        name = dice.choice(sorted(FAULTS if server is None else REMOTE))
        at, private = dice.randrange(1, TEST_ROWS + BUDGET), random.Random(dice.random())
        fault = partial(FAULTS[name], bench, wire, at, private)
        status, said = session(bench, wire, fault)
        tally[name] += 1
        assert status in (0, SAID, STOPPED, -signal.SIGKILL, -signal.SIGALRM), f"{name}: {said}"
        if status == SAID:
            tally["sentences"] += 1
            assert said.strip(), name
            assert "\n" not in said.strip(), said
        booked, bought = accounted(bench)
        over = booked - (wire.rows - earlier) - spare
        assert over >= 0, f"{name}: {-over} rows at the victim are in no book"
        assert over == 0 or name in ANYWHERE, f"{name}: {over} rows were charged and never sent"
        spare += over
        assert bought <= BUDGET
        if status < 0:
            power_cut(bench, dice)
            accounted(bench)
        damaged_snapshot(bench, dice)
    if server is not None:
        server.upset(0)
    status, said = session(bench, wire, lambda: None)
    assert status == 0, said
    booked, bought = accounted(bench)
    result = read_result(bench.run)
    rows = wire.rows - earlier
    assert booked - spare == rows, f"{booked} in the books, {rows} at the victim"
    assert rows == result.provenance.ledger_rows - spare
    assert bought == result.spent
    before, written = known[attack]
    assert "victim-changed" not in [flag.code for flag in result.flags]
    assert outcome(result) == before, "another result"
    assert files(bench) == written, "another clone, or other samples"
    assert verify(bench.run).faults == ()
    assert not (bench.run / "snapshots").exists()
    tally["lost rows"] += result.lost
    tally["charged, never sent"] += spare
    shutil.rmtree(bench.folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--http", action="store_true", help="a victim behind a faulty server")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    known: dict[str, tuple[dict[str, object], dict[str, bytes]]] = {}
    server = FaultyServer() if asked.http else None
    broken = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place, suppress(KeyboardInterrupt):
        for number in range(asked.first, asked.first + asked.schedules):
            try:
                play(number, asked.seed, Path(place), known, tally, server)
            except AssertionError as error:
                broken += 1
                print(f"schedule {number} (seed {asked.seed}): {error}", flush=True)
            tally["schedules"] += 1
    if server is not None:
        server.close()
    print(f"{tally['schedules']} schedules, {broken} broken, {time.monotonic() - began:.0f} s")
    print(", ".join(f"{name} {count}" for name, count in sorted(tally.items())))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
