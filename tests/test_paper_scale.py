"""The prepared GPU run, dry on a CPU: results at once, and a second call goes on."""

import json
import time
from pathlib import Path

import torch
from experiments.counted_operations import Networks, count
from experiments.gpu_speed import Speeds
from experiments.paper_jobs import JOBS, PROXIES, TINY_BUDGET, chosen
from experiments.paper_scale import Machine, Session, main, run
from experiments.paper_tables import rows

from clonecost.attacks.dfme import Dfme


def session(out: Path, minutes: float) -> Session:
    machine = Machine(torch.device("cpu"), "cpu", "no card", Speeds(1e9, 1e9))
    return Session(machine, out, time.monotonic() + 60 * minutes, True, say=lambda text: None)


def test_a_dry_run_writes_a_result_of_each_job(tmp_path: Path) -> None:
    main(["--minutes", "2", "--out", str(tmp_path), "--jobs", "a", "--device", "cpu", "--tiny",
          "--no-tests"])  # fmt: skip
    for job in chosen("a", tiny=True):
        found = json.loads((tmp_path / f"{job.name}-cpu.json").read_text())
        assert found["state"] == "ended"
        assert found["queries"] == found["curve"][-1]["queries"] == TINY_BUDGET
        assert len(found["curve"]) > 1
        assert found["torch"] == torch.__version__


def test_a_job_whose_time_is_up_goes_on_in_the_next_call(tmp_path: Path) -> None:
    (job,) = (job for job in JOBS if job.name == "dfme")
    assert not session(tmp_path, 1).run(job, TINY_BUDGET, limit=0.0)
    assert json.loads((tmp_path / "dfme-cpu.json").read_text())["state"].startswith("stopped")
    assert run(session(tmp_path, 1), [job]) == ["dfme"]
    assert json.loads((tmp_path / "dfme-cpu.json").read_text())["state"] == "ended"


def test_operations_are_those_of_an_iteration() -> None:
    networks = Networks(victim=10.0, student=1.0, generator=0.1)
    found = count(Dfme(), networks, 2 * 1792, [2 * 1792])
    assert found is not None
    assert found.exact == 2 * 512 * 11
    assert found.training == 2 * (1280 * (10 + 3) + 256 * (3 + 5) * 0.1)


def test_a_job_of_each_group_is_an_audit() -> None:
    for job in JOBS:
        spec = job.spec(job.budget or 1_000, "cpu", [], tiny=False)
        assert spec.victim == job.victim
        assert job.proxy is None or job.proxy in PROXIES
    assert {job.group for job in JOBS} == set("abcde")


def test_each_figure_of_a_paper_stands_beside_ours_and_an_estimate() -> None:
    found = {row[:2]: row[2:] for row in rows("cifar10_alexnet")}
    assert len(found) == 13  # four columns, ZSKD in one
    paper, ours, estimate = found["10 classes", "Black-Box Ripper"]
    assert paper == "77.9 ± 0.3 %"
    assert ours.endswith("% (10,000 queries, 3 seeds)")
    assert estimate.startswith("400 M queries, ")
    assert found["6 classes", "DeGAN"][2] == "no query; passes are not counted"
