"""The published attacks at the papers' own size: one prepared run of some minutes on one GPU.

    python -m experiments.paper_scale --minutes 9 --out DIR [--jobs abcde]

First the GPU tests (90 seconds at most), then the jobs of `paper_jobs` in order of worth until the
time is up. Each job writes DIR/NAME-gpu.json as soon as its first clone is scored, and again with
every further point; the next call with the same DIR goes on where this one stopped, from the
checkpoints of its run folder. Before it begins, the time of each job is estimated from its counted
operations and the measured speed of this card, and corrected after its first seconds.

Data and weights are packed by `pack_gpu` and found by `with_pack`, and nothing needs a network.
`--device cpu --tiny` is a dry run: the same code, a few rows, numbers that mean nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from clonecost.audit import Watcher, run_audit
from clonecost.config import EVERYTHING, audits, load_parts, make_attack, make_device
from clonecost.errors import CloneCostError
from clonecost.persistence.atomic_write import atomic_write
from clonecost.result import Result, Score
from clonecost.version import __version__
from clonecost.victims.zoo.catalogue import VICTIMS
from clonecost.workflows.run import finished
from experiments.counted_operations import Operations, count, networks_of
from experiments.gpu_speed import Speeds, measured
from experiments.paper_jobs import BUDGETS, GROUPS, SHARE, TINY_BUDGET, Job, chosen

TESTS = 90.0  # seconds of the GPU tests, at most
# the quick ones first
GPU_TESTS = ("tests/gpu/test_precision_on_a_gpu.py", "tests/gpu/test_attacks_on_a_gpu.py")
FIRST = 10.0  # seconds of a job after which its estimate is corrected
SLOW = 2.0  # a job that takes so many times its estimate waits until the others had their turn
POINTS = (0.1, 0.5)  # shares of a budget after which the clone is scored, too
LEAST = 5.0  # seconds: with less a job is not begun


class TimeIsUpError(Exception):
    """A job has had its time; its run folder holds what it has bought."""


@dataclass(frozen=True)
class Machine:
    """What a number was measured with.

    Attributes:
        kind: "gpu" or "cpu", in the names of files.
    """

    device: torch.device
    kind: str
    card: str
    speeds: Speeds

    @classmethod
    def found(cls, name: str, tiny: bool) -> "Machine":
        device = make_device(name)
        cuda = device.type == "cuda"
        card = torch.cuda.get_device_name(device) if cuda else "no card"
        speeds = measured(device, seconds=0.02 if tiny else 2.0, tiny=tiny)
        return cls(device, "gpu" if cuda else "cpu", card, speeds)


@dataclass
class Record:
    """What is written about one job, in all sessions."""

    path: Path
    about: dict[str, Any]
    seconds: float = 0.0  # of earlier sessions
    curve: dict[int, dict[str, Any]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, path: Path, about: dict[str, Any]) -> "Record":
        if not path.is_file():
            return cls(path, about)
        old = json.loads(path.read_text(encoding="utf-8"))
        curve = {int(point["queries"]): point for point in old["curve"]}
        return cls(path, {**old, **about}, 60 * old["minutes"], curve)

    def scored(self, score: Score) -> None:
        accuracy = None if score.accuracy is None else score.accuracy.value
        self.curve[score.queries] = {
            "queries": score.queries, "agreement": score.agreement.value, "accuracy": accuracy
        }  # fmt: skip
        self.write("running")

    def write(self, state: str) -> None:
        minutes = (self.seconds + time.monotonic() - self.began) / 60
        points = [self.curve[at] for at in sorted(self.curve)]
        content = {**self.about, "state": state, "minutes": round(minutes, 3), "curve": points}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path, (json.dumps(content, indent=1) + "\n").encode())


@dataclass(frozen=True)
class Session:
    """One call of this script."""

    machine: Machine
    out: Path
    ends: float  # by `time.monotonic`
    tiny: bool
    runs: int = 1  # calls of this script for which group a's budget is chosen
    say: Callable[[str], None] = print

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()

    def estimate(self, job: Job, budget: int) -> float | None:
        """Seconds that the job takes on this card, by its counted operations."""
        found = self.operations(job, budget)
        if found is None:
            return None
        return found.seconds(self.machine.speeds.exact, self.machine.speeds.training)

    def operations(self, job: Job, budget: int) -> Operations | None:
        """Those of the whole job; None where they cannot be counted beforehand."""
        recipe = VICTIMS[job.victim]
        attack = make_attack(job.attack, {job.attack: job.settings} if job.settings else {})
        found = networks_of(attack, recipe.network, job.student, recipe.input_shape)
        return count(attack, found, budget, [*points(budget), budget])

    def run(self, job: Job, budget: int, limit: float) -> bool:
        """Begin or continue a job, for `limit` seconds at most. Returns whether it has ended."""
        spec = job.spec(budget, str(self.machine.device), points(budget), self.tiny)
        folder, began = self.out / "runs" / job.name, time.monotonic()
        expected = None if self.tiny else self.estimate(job, budget)
        record = Record.of(self.out / f"{job.name}-{self.machine.kind}.json", {
            "job": job.name, "group": job.group, "attack": job.attack, "settings": job.settings,
            "victim": spec.victim if not self.tiny else "tiny", "student": spec.student,
            "proxy": spec.proxy, "budget": budget, "paper": job.papers, "seed": spec.seed[0],
            "card": self.machine.card, "device": str(self.machine.device),
            "torch": torch.__version__, "clonecost": __version__,
            "estimated_minutes": expected and round(expected / 60, 2),
        })  # fmt: skip
        if finished(folder, spec):
            return True
        self.say(f"{job.name}: {budget:,} queries, about {in_minutes(expected)}, "
                 f"{in_minutes(limit)} of them now")  # fmt: skip
        state, ended = "stopped: the next call goes on", False
        watcher = _watcher(record, began, limit, self.say)
        try:
            parts = load_parts(spec, watcher.step, consent=EVERYTHING)
            (audit,) = audits(spec, parts, folder, "experiments.paper_scale")
            result = run_audit(audit, watcher)
            record.about |= _about(result)
            state, ended = "ended", True
        except TimeIsUpError:
            pass
        except Exception as error:  # a fault in one job must not stop the others
            state, ended = f"failed: {type(error).__name__}: {error}", True
            if not isinstance(error, CloneCostError):
                (self.out / f"{job.name}.traceback.txt").write_text(traceback.format_exc())
        record.write(state)
        best = max((one["agreement"] for one in record.curve.values()), default=None)
        self.say(f"{job.name}: {state}" + (f", agreement {best:.3f}" if best is not None else ""))
        return ended


def _watcher(record: Record, began: float, limit: float, say: Callable[[str], None]) -> Watcher:
    """Follows a run, and ends it by an exception between two batches when its time is up."""
    first: list[tuple[float, int]] = []  # when queries began, and with how many

    def spent(rows: int, budget: int) -> None:
        now = time.monotonic()
        first.append((now, rows)) if not first else None
        since, before = first[0]
        if "corrected_minutes" not in record.about and now - since > FIRST and rows > before:
            whole = (now - since) / (rows - before) * budget / 60
            record.about["corrected_minutes"] = round(whole, 2)
            say(f"{record.about['job']}: {whole:.1f} min in all, by its first seconds")
        step("", 0, 0)

    def step(what: str, done: int, total: int) -> None:
        if time.monotonic() - began > limit:
            raise TimeIsUpError

    return Watcher(spent=spent, step=step, scored=record.scored, notice=say)


def _about(result: Result) -> dict[str, Any]:
    return {
        "queries": result.curve[-1].queries,
        "victim_accuracy": result.victim.accuracy and result.victim.accuracy.value,
        "test_rows": result.victim.test_rows,
        "provenance": result.provenance.model_dump(mode="json"),
    }


def points(budget: int) -> list[int]:
    """Numbers of queries after which the clone is scored, beside the end."""
    return [int(budget * share) for share in POINTS]


def in_minutes(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"{seconds / 60:.1f} min"


def budget_of_group(session: Session, jobs: list[Job]) -> int:
    """The one budget of all jobs that state none: the largest whose sum fits, kept in plan.json."""
    plan = session.out / "plan.json"
    if plan.is_file():
        return int(json.loads(plan.read_text(encoding="utf-8"))["budget"])
    equal = [job for job in jobs if job.budget is None]
    found = TINY_BUDGET if session.tiny else BUDGETS[-1]
    if not equal:
        return found
    for budget in () if session.tiny else BUDGETS:
        whole = sum(session.estimate(job, budget) or 0.0 for job in equal)
        session.say(f"group a with {budget:,} queries each: about {in_minutes(whole)}")
        if whole <= SHARE * session.runs * session.left:
            found = budget
            break
    content = {"budget": found, "card": session.machine.card}
    atomic_write(plan, json.dumps(content).encode())
    return found


def run_tests(session: Session) -> None:
    """The GPU tests, in a process of their own; their outcome is written and stops nothing."""
    on = {} if session.machine.kind == "gpu" else {"CLONECOST_GPU_TESTS_ON": "cpu"}
    lib = os.environ.get("CLONECOST_LIB", "")  # of `with_pack`, searched last
    code = f"import sys; sys.path += [{lib!r}, 'src']; import pytest; sys.exit(pytest.main())"
    options = ["-m", "gpu", "-v", "--tb=short", "-p", "no:cacheprovider", *GPU_TESTS]
    log, began = session.out / "tests.log", time.monotonic()
    with log.open("w") as output:  # a file keeps what was written before the time was up
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, *options], stdout=output, stderr=subprocess.STDOUT,
                timeout=min(TESTS, session.left), env={**os.environ, **on, "PYTHONUNBUFFERED": "1"},
                cwd=Path(__file__).parent.parent,
            )  # fmt: skip
            passed, why = done.returncode == 0, ""
        except subprocess.TimeoutExpired:
            passed, why = False, "not ended in time"
    tail = [why, *log.read_text(errors="replace").splitlines()[-120:]]
    seconds = round(time.monotonic() - began, 1)
    session.say(f"GPU tests: {'passed' if passed else 'NOT passed'} in {seconds} s")
    content = {"passed": passed, "seconds": seconds, "card": session.machine.card,
               "torch": torch.__version__, "output": tail}  # fmt: skip
    path = session.out / f"tests-{session.machine.kind}.json"
    atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())


def run(session: Session, jobs: list[Job]) -> list[str]:
    """Every job in order of worth, then once more those that had to wait. Returns those ended."""
    equal, ended = budget_of_group(session, jobs), []
    for last in (False, True):
        for job in jobs:
            if job.name in ended or session.left < LEAST:
                continue
            budget = equal if job.budget is None else job.budget
            limit = session.left
            expected = None if session.tiny else session.estimate(job, budget)
            if not last and expected is not None and job.budget is None:
                limit = min(limit, SLOW * expected + 30)
            if session.run(job, budget, limit):
                ended.append(job.name)
    return ended


def main(arguments: list[str] | None = None) -> None:
    """Run the tests and the jobs until the time is up."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=9.0, help="in all, tests included")
    options.add_argument("--out", type=Path, required=True, help="results and run folders")
    options.add_argument("--jobs", default=GROUPS, help="groups, such as `a` or `bc`")
    options.add_argument("--runs", type=int, default=1, help="calls that group a is made to take")
    options.add_argument("--device", default="auto")
    options.add_argument("--tiny", action="store_true", help="a dry run: a few rows")
    options.add_argument("--no-tests", action="store_true", help="without the GPU tests")
    given = options.parse_args(arguments)
    ends = time.monotonic() + 60 * given.minutes
    given.out.mkdir(parents=True, exist_ok=True)
    machine = Machine.found(given.device, given.tiny)
    session = Session(machine, given.out, ends, given.tiny, given.runs)
    session.say(f"{machine.card}, torch {torch.__version__}: {machine.speeds}")
    if not given.no_tests:
        run_tests(session)
    jobs = chosen(given.jobs, given.tiny)
    ended = run(session, jobs)
    session.say(f"{len(ended)} of {len(jobs)} jobs ended; the same command goes on with the others")


if __name__ == "__main__":
    main()
