"""A suite on a Ray cluster that loses a machine and a worker: the table is the undisturbed one."""

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli_runs import agree, asked, run
from tests.support.ray_clusters import ray_cluster
from tests.support.toy_suite import edited
from tests.support.workbench import TEST_ROWS

from clonecost.audit.spot_check import ROWS
from clonecost.suite import read_results

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

SEEDS, BUDGET, BATCH = range(4), 200, 10
SLOW = """
import time
import own

def probs(inputs):
    time.sleep(0.1)
    return own.probs(inputs)
"""


def processes(out: Path) -> dict[Path, int]:
    """The process of each run that goes on, by its folder."""
    found = {}
    for path in out.rglob("events.jsonl"):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        if events[-1]["event"] != "end":
            found[path.parent] = [e for e in events if e["event"] == "begin"][-1]["process"]
    return found


def disturb(cluster: Any, out: Path, log: Path, done: list[str]) -> None:
    """Remove a node once every node has asked for rows, and kill a worker some rows later."""

    def wait_for(rows: int) -> None:
        ends = time.monotonic() + 60
        while not log.exists() or len(asked(log)) < rows:
            assert time.monotonic() < ends
            time.sleep(0.02)

    wait_for(2 * TEST_ROWS + BUDGET // 2)
    cluster.remove_node(next(iter(cluster.worker_nodes)))
    done.append("node")
    wait_for(len(asked(log)) + 2 * BATCH)
    alive = [one for one in processes(out).values() if Path(f"/proc/{one}").exists()]
    os.kill(alive[0], signal.SIGKILL)
    done.append("worker")


def table(out: Path) -> list[dict[str, Any]]:
    """Each cell without what a run took of time, and its sessions."""
    cells = read_results(out / "small" / "results.json").cells
    return [cell.model_dump(exclude={"seconds", "runs"}) for cell in cells]


def clones(out: Path) -> dict[str, bytes]:
    """The file of each clone, by its run."""
    return {path.parent.name: path.read_bytes() for path in out.rglob("clone.*")}


def test_a_lost_machine_and_a_killed_worker_change_no_cell(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = edited(toy, '"own:probs"', '"slow:probs"').read_text()
    toy.write_text(text.replace("budget = 40\n", f"budget = {BUDGET}\n"))
    words = ["suite", toy, *agree("code:slow:probs"), "--row", "ours"]
    words += [word for seed in SEEDS for word in ("--seed", str(seed))]
    log, done = tmp_path / "asked", list[str]()
    with ray_cluster(monkeypatch) as cluster:
        out = tmp_path / "lost"
        losing = threading.Thread(target=disturb, args=(cluster, out, log, done))
        losing.start()
        said = run(*words, "--out", out, "--workers", cluster.address)
        losing.join()
    assert (said.status, done) == (0, ["node", "worker"]), said.err
    disturbed = Counter(asked(log))
    log.unlink()
    assert run(*words, "--out", tmp_path / "whole").status == 0

    assert table(tmp_path / "lost") == table(tmp_path / "whole")
    assert len(clones(tmp_path / "lost")) == len(SEEDS)
    assert clones(tmp_path / "lost") == clones(tmp_path / "whole")
    twice = disturbed - Counter(asked(log))
    # two batches in flight, of an attack or of test rows, and the spot checks of two resumed runs
    assert sum(twice.values()) <= 2 * TEST_ROWS + 2 * ROWS
