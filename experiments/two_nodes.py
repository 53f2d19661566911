"""A suite on Ray nodes of one core each, all on this machine: wall time, cells, clones.

    python -m experiments.two_nodes SUITE --nodes N [--row NAME] [--column NAME] [--seed K ...]
        [--lose] --runs DIR --out FILE

Needs the extra `ray`. With `--lose` a node is removed while the first runs go on, and the worker
of another run is killed. The file holds the seconds from the first task to the table, those of
each run by its own clock, the share of the machine's cores that were busy meanwhile, and the
digest and the numbers of each clone.
"""

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from clonecost import suite as suites
from clonecost.persistence.disk import file_digest
from clonecost.persistence.event_file import read
from clonecost.workers import pool_of


def busy() -> tuple[int, int]:
    """Ticks of all cores that were used, and all of them."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(word) for word in first]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def begun(runs: Path) -> dict[Path, int]:
    """The process of each run that goes on."""
    found = {}
    for path in runs.rglob("events.jsonl"):
        events = list(read(path.parent))
        if events and events[-1]["event"] not in ("end", "stop"):
            found[path.parent] = [e["process"] for e in events if e["event"] == "begin"][-1]
    return found


class Losing:
    """Called about once a second: removes a node, then kills a worker."""

    def __init__(self, cluster: Any, runs: Path) -> None:
        self.cluster, self.runs, self.done, self.since = cluster, runs, list[str](), 0.0

    def __call__(self) -> None:
        going = begun(self.runs)
        if not self.done and len(going) >= 2:
            self.since = self.since or time.monotonic()
            if time.monotonic() - self.since > 15:
                self.cluster.remove_node(next(iter(self.cluster.worker_nodes)))
                self.done.append("node")
                self.since = time.monotonic()
        elif self.done == ["node"] and time.monotonic() - self.since > 20:
            alive = [one for one in going.values() if Path(f"/proc/{one}").exists()]
            if alive:
                os.kill(alive[0], signal.SIGKILL)
                self.done.append("worker")


def measured(wanted: argparse.Namespace) -> dict[str, Any]:
    os.environ |= {
        "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    from ray.cluster_utils import Cluster

    path = suites.find(wanted.suite)
    definition = suites.read_suite(path)
    scale = next(iter(definition.scale))
    rows, columns = wanted.row or [], wanted.column or []
    todo = suites.jobs(
        definition, scale, wanted.runs, rows=rows, columns=columns, seeds=wanted.seed
    )
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(wanted.nodes):
        cluster.add_node(num_cpus=1)
    losing = Losing(cluster, wanted.runs)
    began, (used, whole) = time.perf_counter(), busy()
    failed = {
        str(job.folder): error.fact
        for job, error in suites.run_at_once(
            todo, pool_of(cluster.address), beat=losing if wanted.lose else lambda: None
        )
        if error
    }
    seconds = time.perf_counter() - began
    used, whole = busy()[0] - used, busy()[1] - whole
    cluster.shutdown()
    runs = {}
    for job in todo:
        result = job.result()
        if result is not None:
            labelled = result.curve[-1].accuracy
            (clone,) = job.folder.glob("clone.*")
            runs[f"{job.cell.column.name}/{job.cell.row.name}/{job.seed}"] = {
                "clone": file_digest(clone),
                "agreement": result.curve[-1].agreement.value,
                "accuracy": labelled.value if labelled else None,
                "queries": result.spent, "lost": result.lost,
                "seconds": result.seconds,
            }  # fmt: skip
    return {
        "suite": wanted.suite, "nodes": wanted.nodes, "seconds": seconds,
        "cores_busy": used / whole, "cores": os.cpu_count(), "lost": losing.done,
        "failed": failed, "runs": runs,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--row", action="append")
    parser.add_argument("--column", action="append")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--lose", action="store_true")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    found = measured(wanted)
    print(json.dumps(found), flush=True)
    held = json.loads(wanted.out.read_text()) if wanted.out.is_file() else []
    wanted.out.write_text(json.dumps([*held, found], indent=1) + "\n")


if __name__ == "__main__":
    main()
