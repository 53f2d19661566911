"""Seconds, memory and disk of runs of many rows: `verify`, `report`, `resume`, and three attacks.

    python -m experiments.sizes ledger --rows N ... [--keep all|none] [--seed K ...] [--out FILE]
    python -m experiments.sizes attack --rows N ... [--name ATTACK ...] [--seed K ...] [--hold DIR]

The victim is a fixed linear layer over a coarse copy of a grey image of 28 x 28: the cost is
clonecost's own. `ledger` runs an attack that only buys random rows, in batches of 256, until the
victim fails at the last batch; then it is resumed, verified and reported, each in a process of its
own, because a peak of memory never falls again. The file is written after every run; runs that it
holds already are left out. An audit whose process is given `--limit SECONDS` ends then, and the
same command goes on with it in the folder `--hold`: seconds add up, and the peak is that of the
largest process.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from benchmarks.memory import peak_memory
from torch import Tensor, nn

from clonecost.attacks.base import Attack, AttackerKit, Clone, Declaration
from clonecost.attacks.dfme import Dfme
from clonecost.attacks.ex_nihilo import ExNihilo
from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import Audit, RunOptions, run_audit
from clonecost.audit.defaults import Keep
from clonecost.data import load_proxy
from clonecost.errors import CloneCostError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import LabelledInputs, ThreatModel

SHAPE, CLASSES, BATCH = (1, 28, 28), 10, 256
OUT = Path("suites/results/experiments/sizes.json")


@dataclass(frozen=True, kw_only=True)
class Buys:
    """Buys random rows, and has a clone that learned nothing."""

    declares: ClassVar = Declaration(needs="label")

    def plan(self, budget: int) -> str:
        return f"buys {budget:,} random rows"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        clone = kit.new_student()
        for _ in kit.loop(lambda _: oracle.remaining > 0, clone=clone):
            rows = min(BATCH, oracle.remaining)
            oracle(torch.rand(rows, *SHAPE, generator=kit.rng))
            yield clone


class Victim:
    """A linear layer over an image of 7 x 7; fails once so many rows of an attack were asked."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.weights = torch.randn(49, CLASSES, generator=torch.Generator().manual_seed(7))
        self.asked, self.fails_after = 0, fails_after
        self.first: float | None = None  # when the first row of the attack was asked

    def __call__(self, inputs: Tensor) -> Tensor:
        self.asked += len(inputs)
        if self.fails_after is not None and self.asked > self.fails_after:
            raise RuntimeError("it ends here")
        self.first = self.first or time.perf_counter()
        return (nn.functional.avg_pool2d(inputs, 4).flatten(1) @ self.weights).softmax(1)


def noise(rows: int = 256) -> LabelledInputs:
    """Random images, whose labels mean nothing."""
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (rows, *SHAPE), generator=rng, dtype=torch.uint8)
    names = tuple(map(str, range(CLASSES)))
    return LabelledInputs(pixels, torch.arange(rows) % CLASSES, names, "noise")


def audit_of(
    attack: Attack, rows: int, folder: Path, victim: Victim, *, seed: int = 0, keep: Keep = "none",
    proxy: Any = None,
) -> Audit:  # fmt: skip
    """The audit of the synthetic victim; the clone is scored at its end only."""
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=rows)
    return Audit(
        victim=victim, threat=threat, attack=attack, test=noise(), proxy=proxy, out=folder,
        student="lenet", seed=seed,
        options=RunOptions(keep=keep, spot_check=0, snapshot_every=5.0, threads=1),
    )  # fmt: skip


# -- one step, in a process of its own -----------------------------------------------------------


def buy(folder: Path, rows: int, keep: Keep, seed: int) -> dict[str, float]:
    """A run of which the last batch is missing."""
    asked = len(noise()) + rows - BATCH
    with suppress(CloneCostError):
        run_audit(audit_of(Buys(), rows, folder, Victim(asked), seed=seed, keep=keep))
    return {}


def resume(folder: Path, rows: int, keep: Keep, seed: int) -> dict[str, float]:
    """The seconds until the victim is asked again."""
    victim, began = Victim(), time.perf_counter()
    audit = audit_of(Buys(), rows, folder, victim, seed=seed, keep=keep)
    audit.steadiness  # noqa: B018  asks the victim, and costs nothing
    victim.first = None
    run_audit(audit)
    assert victim.first is not None
    return {"until_first_row": victim.first - began}


def verify(folder: Path, *_: Any) -> dict[str, float]:
    from clonecost.workflows.verify import verify as of_run

    found = of_run(folder)
    assert not found.faults, found.faults
    return {}


def report(folder: Path, *_: Any) -> dict[str, float]:
    from clonecost import report as pages

    text = pages.html(pages.load_runs([folder]), pages.read_documents([folder]))
    return {"page_bytes": len(text)}


def attack(folder: Path, rows: int, name: str, seed: int) -> dict[str, float]:
    """A whole audit."""
    made: dict[str, Attack] = {
        "knockoff": Knockoff(recipe="shared", epochs=1),
        "dfme": Dfme(batch_size=256, generator_width=16),
        "ex_nihilo": ExNihilo(),
    }
    proxy = load_proxy("photos", shape=SHAPE) if name == "knockoff" else None
    with suppress(KeyboardInterrupt):  # the time limit: the run goes on in another process
        run_audit(audit_of(made[name], rows, folder, Victim(), seed=seed, proxy=proxy))
    return {"rows": Ledger.read(folder / "ledger.sqlite").totals("attack").settled}


STEPS: dict[str, Callable[..., dict[str, float]]] = {
    "buy": buy, "resume": resume, "verify": verify, "report": report, "attack": attack,
}  # fmt: skip


def one(step: str, folder: Path, rows: int, how: str, seed: int) -> dict[str, float]:
    """Run a step here; its seconds, processor seconds and peak memory (MiB), and what it found."""
    torch.set_num_threads(1)
    idle, began, worked = peak_memory(), time.perf_counter(), time.process_time()
    found = STEPS[step](folder, rows, how, seed)
    return {
        "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked,
        "peak_mib": peak_memory(), "idle_mib": idle, **found,
    }  # fmt: skip


def in_own_process(
    step: str, folder: Path, rows: int, how: str, seed: int, limit: int = 0
) -> dict[str, float]:
    words = ["step", step, str(folder), str(rows), how, str(seed), str(limit)]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.sizes", *words], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# -- the measurements ----------------------------------------------------------------------------


def of_ledger(rows: int, keep: str, seed: int) -> dict[str, Any]:
    """One run of so many rows: what its ledger takes, and how long each step works on it."""
    with TemporaryDirectory(prefix="clonecost-sizes-") as place:
        run = Path(place) / "run"
        steps = {
            step: in_own_process(step, run, rows, keep, seed)
            for step in ("buy", "resume", "verify", "report")
        }
        assert Ledger.read(run / "ledger.sqlite").totals("attack").settled == rows
        sizes = {
            name: (run / name).stat().st_size / rows
            for name in ("ledger.sqlite", "inputs.bin") if (run / name).is_file()
        }  # fmt: skip
    return {"what": "ledger", "rows": rows, "how": keep, "seed": seed, "bytes_a_row": sizes,
            "steps": steps}  # fmt: skip


def of_attack(
    rows: int, name: str, seed: int, hold: Path | None = None, limit: int = 0
) -> dict[str, Any] | None:
    """One audit of so many rows by an attack; None: its time is over, and it goes on later."""
    if hold is None:
        with TemporaryDirectory(prefix="clonecost-sizes-") as place:
            parts = [in_own_process("attack", Path(place) / "run", rows, name, seed)]
    else:
        run = hold / f"{name}-{rows}-{seed}"
        log = run.with_suffix(".json")
        hold.mkdir(parents=True, exist_ok=True)
        parts = json.loads(log.read_text()) if log.is_file() else []
        parts.append(in_own_process("attack", run, rows, name, seed, limit))
        log.write_text(json.dumps(parts, indent=1) + "\n")
        if not (run / "result.json").is_file():
            return None
    sums = {key: sum(part[key] for part in parts) for key in ("seconds", "cpu_seconds")}
    peaks = {key: max(part[key] for part in parts) for key in ("peak_mib", "idle_mib")}
    return {"what": "attack", "rows": rows, "how": name, "seed": seed,
            "steps": {"attack": {**sums, **peaks, "processes": len(parts)}}}  # fmt: skip


def main(words: list[str]) -> None:
    if words[:1] == ["step"]:
        step, folder, rows, how, seed, limit = words[1:]
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(int(limit))  # 0: no limit
        print(json.dumps(one(step, Path(folder), int(rows), how, int(seed))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ledger", "attack"])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000])
    parser.add_argument("--keep", choices=["all", "none"], default="none")
    parser.add_argument("--name", nargs="+", default=["knockoff", "dfme", "ex_nihilo"])
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--hold", type=Path)
    parser.add_argument("--limit", type=int, default=0)
    wanted = parser.parse_args(words)
    done = json.loads(wanted.out.read_text()) if wanted.out.is_file() else []
    known = {(one["what"], one["rows"], one["how"], one["seed"]) for one in done}
    for rows in wanted.rows:
        for seed in wanted.seed:
            for how in [wanted.keep] if wanted.what == "ledger" else wanted.name:
                if (wanted.what, rows, how, seed) in known:
                    continue
                found: dict[str, Any] | None
                if wanted.what == "ledger":
                    found = of_ledger(rows, how, seed)
                else:
                    found = of_attack(rows, how, seed, wanted.hold, wanted.limit)
                if found is None:
                    continue
                done.append(found)
                print(json.dumps(done[-1]), flush=True)
                wanted.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
