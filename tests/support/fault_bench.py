"""One run of one attack in sessions, each a process of its own, and what they leave behind."""

import mmap
import os
import resource
import struct
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tests.support.attack_settings import toy_attack
from tests.support.toys import CLASSES, SHAPE, toy_generator, toy_student
from torch import Tensor, nn

from clonecost.audit import Audit, RunOptions, Watcher, run_audit
from clonecost.errors import CloneCostError, LedgerError
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.pending import PENDING, PendingOutcome
from clonecost.result import Result
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.victims import torch_victim

BUDGET, TEST_ROWS = 300, 60


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


def played_slowly(attack: str, folder: Path) -> None:
    """One session without faults, in which a reader finds the time to look."""
    torch.set_num_threads(1)
    wire = Wire(linear())
    wire.disturb = lambda wire, rows: time.sleep(0.02)
    run_audit(Bench(attack, folder, wire).audit())


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
    booked = sum(p.settled + p.lost + p.reserved for p in accounts)
    # a loss that the ledger could not take stands beside it, with the rows that never left
    pending = PendingOutcome(bench.run / PENDING).read()
    if pending is not None and pending.event == "lost" and any(p.reserved for p in accounts):
        booked -= int(pending.values[1])
    return booked, accounts[0].settled


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
