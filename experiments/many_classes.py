"""What an audit of many classes takes: seconds, memory, bytes of the report and the ledger.

    python -m experiments.many_classes 10000

The victim is a random linear model of 32 x 32 colour pixels and the rows are noise: no agreement
is measured here. Seconds are of the processor.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import Audit, run_audit
from clonecost.report import html, load_runs
from clonecost.types import LabelledInputs, ThreatModel

SHAPE, ROWS, TEST = (3, 32, 32), 1_000, 500


def noise(rows: int, seed: int, classes: int) -> LabelledInputs:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (rows, *SHAPE), generator=rng, dtype=torch.uint8)
    names = tuple(f"class {k}" for k in range(classes))
    return LabelledInputs(pixels, torch.full((rows,), -1), names, name="noise")


def main(classes: int) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3 * 32 * 32, classes)
    nn.init.normal_(layer.weight, 0, 0.25)
    victim = nn.Sequential(nn.Flatten(), layer)
    with tempfile.TemporaryDirectory() as folder:
        run, before = Path(folder) / "run", peak()
        audit = Audit(
            victim=victim, attack=Knockoff(recipe="shared", epochs=2), student="half-lenet",
            threat=ThreatModel(input_shape=SHAPE, num_classes=classes, query_budget=ROWS),
            test=noise(TEST, 0, classes), proxy=noise(2 * ROWS, 1, classes), out=run,
            milestones=[100, 500],
        )  # fmt: skip
        began = time.process_time()
        run_audit(audit)
        audited = time.process_time() - began
        page = html(load_runs([run]))
        ended = time.process_time() - began - audited
        sizes = {name: (run / name).stat().st_size / 1e6 for name in ("ledger.sqlite",
                                                                     "result.json")}  # fmt: skip
    print(
        f"{classes:,} classes: audit {audited:.1f} s of CPU, report {ended:.1f} s; peak memory "
        f"{peak():.0f} MB ({before:.0f} MB before); "
        + ", ".join(f"{name} {size:.1f} MB" for name, size in sizes.items())
        + f", report {len(page.encode()) / 1e6:.2f} MB"
    )


def peak() -> float:
    """The most memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main(int(sys.argv[1]))
