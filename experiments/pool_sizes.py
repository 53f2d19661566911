"""Seconds and memory of a pool of pictures on disk, by its size: a folder, a TAR, Parquet files.

    python -m experiments.pool_sizes --pools DIR [--rows N ...] [--kind KIND ...] [--seed K ...]
        [--out FILE]

The pictures are 1,000 JPEG files of 32 x 32 over and over: the contents do not matter, and their
places do. A folder's are hard links to them. Each step is a process of its own: `open` is what
stands before the first query, and `audit` is Knockoff Nets with 2,000 rows and one epoch. The
files are made once, in `--pools`, and the results are written after every step.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.memory import peak_memory
from PIL import Image
from torch import Tensor

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import Audit, RunOptions, run_audit
from clonecost.data import load_proxy
from clonecost.types import LabelledInputs, ThreatModel

SHAPE, CLASSES, DIFFERENT, ASKED = (3, 32, 32), 10, 1_000, 2_000
KINDS = ("folder", "tar", "parquet")
OUT = Path("suites/results/experiments/pool_sizes.json")


def pictures() -> list[bytes]:
    """Different JPEG files."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(DIFFERENT, 3, 8, 8, generator=rng)
    pixels = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear").mul(255).byte()
    found = []
    for rows in pixels.permute(0, 2, 3, 1).numpy():
        stream = io.BytesIO()
        Image.fromarray(rows).save(stream, "jpeg", quality=80)
        found.append(stream.getvalue())
    return found


def make(kind: str, rows: int, folder: Path) -> Path:
    """The pool of so many pictures; made if it is not there."""
    path = folder / f"{kind}-{rows}{'' if kind == 'folder' else '.' + kind}"
    if path.exists():
        return path
    part, contents = path.with_name(f"part-{path.name}"), pictures()
    if kind == "tar":
        with tarfile.open(part, "w") as tar:
            for row in range(rows):
                member = tarfile.TarInfo(f"{row:07d}.jpg")
                member.size = len(contents[row % DIFFERENT])
                tar.addfile(member, io.BytesIO(contents[row % DIFFERENT]))
    elif kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet as pq

        schema = pa.schema([("image", pa.binary())])
        with pq.ParquetWriter(part, schema, use_dictionary=False) as file:
            for first in range(0, rows, 10_000):
                some = [contents[row % DIFFERENT] for row in range(first, first + 10_000)]
                file.write_table(pa.table({"image": some}, schema=schema))
    else:
        originals = folder / "originals"
        shutil.rmtree(part, ignore_errors=True)
        originals.mkdir(exist_ok=True)
        for number, content in enumerate(contents):
            (originals / f"{number}.jpg").write_bytes(content)
        for row in range(rows):
            inside = part / f"{row // 1_000:04d}"
            inside.mkdir(parents=True, exist_ok=True)
            os.link(originals / f"{row % DIFFERENT}.jpg", inside / f"{row:07d}.jpg")
    return part.rename(path)


class Victim:
    """A linear layer over the mean colours; notes when an attack asks first."""

    def __init__(self) -> None:
        self.weights = torch.randn(48, CLASSES, generator=torch.Generator().manual_seed(7))
        self.first: float | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        self.first = self.first or time.perf_counter()
        means = torch.nn.functional.avg_pool2d(inputs, 8).flatten(1)
        return (means @ self.weights).softmax(1)


def opens(pool: Path, _: int) -> dict[str, float]:
    """Name the pool as `--proxy` does, and work out the digest that stands for it."""
    proxy = load_proxy(str(pool), shape=SHAPE)
    assert proxy.fingerprint
    return {"rows": len(proxy)}


def audits(pool: Path, seed: int) -> dict[str, float]:
    """Until the first question, and a whole audit."""
    began, victim = time.perf_counter(), Victim()
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (256, *SHAPE), generator=rng, dtype=torch.uint8)
    test = LabelledInputs(
        pixels, torch.arange(256) % CLASSES, tuple(map(str, range(CLASSES))), "noise"
    )
    with TemporaryDirectory(prefix="clonecost-pool-") as place:
        proxy = load_proxy(str(pool), shape=SHAPE)
        threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=ASKED)
        audit = Audit(
            victim=victim, threat=threat, attack=Knockoff(recipe="shared", epochs=1), test=test,
            proxy=proxy, out=Path(place) / "run", student="lenet", seed=seed,
            options=RunOptions(keep="all", spot_check=0, threads=1),
        )  # fmt: skip
        run_audit(audit)
        kept = (Path(place) / "run" / "inputs.bin").stat().st_size / ASKED
    assert victim.first is not None
    return {"until_first_row": victim.first - began, "kept_bytes_a_row": kept}


STEPS = {"open": opens, "audit": audits}


def one(step: str, pool: Path, seed: int) -> dict[str, float]:
    torch.set_num_threads(1)
    idle, began, worked = peak_memory(), time.perf_counter(), time.process_time()
    found = STEPS[step](pool, seed)
    return {
        "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked,
        "peak_mib": peak_memory(), "idle_mib": idle, **found,
    }  # fmt: skip


def main(words: list[str]) -> None:
    if words[:1] == ["step"]:
        step, place, seed = words[1:]
        print(json.dumps(one(step, Path(place), int(seed))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    wanted = parser.parse_args(words)
    done: list[dict[str, Any]] = json.loads(wanted.out.read_text()) if wanted.out.is_file() else []
    known = {(one["step"], one["kind"], one["rows"], one["seed"]) for one in done}
    wanted.pools.mkdir(parents=True, exist_ok=True)
    for seed in wanted.seed:
        for rows in wanted.rows:
            for kind in wanted.kind:
                pool = make(kind, rows, wanted.pools)
                for step in STEPS:
                    if (step, kind, rows, seed) in known:
                        continue
                    call = [sys.executable, "-m", "experiments.pool_sizes", "step", step,
                            str(pool), str(seed)]  # fmt: skip
                    said = subprocess.run(call, capture_output=True, text=True)
                    if said.returncode:
                        raise RuntimeError(said.stderr)
                    found = json.loads(said.stdout.splitlines()[-1])
                    done.append({"step": step, "kind": kind, "rows": rows, "seed": seed, **found})
                    print(json.dumps(done[-1]), flush=True)
                    wanted.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
