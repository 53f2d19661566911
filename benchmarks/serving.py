"""What serving costs: the share of its time that a saturated server spends in its model.

The server is a process of its own, `clonecost serve` with an ONNX victim; the client is the victim
that an audit of the server's address would ask, without a rate. The time in the model is the
server's own count (`clonecost_model_seconds`), the rest is HTTP, JSON or bytes, checks, and waiting
for the client, which needs a core too. On a machine whose cores are all taken that says little, so
the model's share of the server's processor time stands beside it, and the rows a second that the
same graph answers in memory.
"""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx2
import torch
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.measuring import Outcome, Row, seconds
from benchmarks.stage import CLASSES, LENET, RESNET, Scene
from clonecost.networks import build
from clonecost.types import Victim
from clonecost.victims import load_victim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim

GOAL = 0.80
AT_ONCE = 4  # requests
UNLIMITED = 1e9  # rows a second
TICK = 1 / os.sysconf("SC_CLK_TCK")  # of a process's time: of less (a toy run) a server tells 0


def export(scene: Scene, path: Path) -> None:
    """An untrained network as an ONNX graph that gives probabilities."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(build(scene.victim, scene.shape, CLASSES), torch.nn.Softmax(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        torch.onnx.export(
            network.eval(), (torch.rand(2, *scene.shape),), path, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip


@contextmanager
def served(scene: Scene, graph: Path) -> Iterator[str]:
    """The address of the graph, served by a process of its own."""
    shape = ",".join(map(str, scene.shape))
    command = [sys.executable, "-m", "clonecost", "serve", str(graph), "--port", "0", "--shape",
               shape, "--classes", str(CLASSES), "--device", "cpu"]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"{' '.join(command)} did not come up")
            yield url
        finally:
            process.terminate()


class Spent(NamedTuple):
    """Seconds of a server since its start."""

    model: float  # by the clock, within the model
    model_cpu: float  # processor time of the model's thread
    cpu: float  # processor time of the whole process

    def since(self, before: "Spent") -> "Spent":
        return Spent(*(now - then for now, then in zip(self, before, strict=True)))

    @property
    def model_share(self) -> float:
        """The model's part of the processor time."""
        return self.model_cpu / max(self.cpu, TICK)


def spent(url: str) -> Spent:
    """As the server itself tells."""
    text = httpx2.get(f"{url.partition('/v2')[0]}/metrics").text
    families = text_string_to_metric_families(text)
    told = {sample.name: sample.value for family in families for sample in family.samples}
    return Spent(
        told["clonecost_model_seconds_sum"],
        told["clonecost_model_cpu_seconds_total"],
        told["process_cpu_seconds_total"],
    )


def measure(scene: Scene, url: str, memory: Victim, *, binary: bool, batch: int, waves: int) -> Row:
    settings = EndpointSettings(batch_size=batch, concurrency=AT_ONCE, binary=binary)
    victim = endpoint_victim(
        url, input_shape=scene.shape, num_classes=CLASSES, settings=settings, rate=UNLIMITED
    )
    rng = torch.Generator().manual_seed(0)
    inputs = torch.rand(batch * AT_ONCE, *scene.shape, generator=rng)
    for warm in (memory, victim.answer):
        warm(inputs)
    local = seconds(lambda: memory(inputs))
    before, began = spent(url), time.perf_counter()
    for _ in range(waves):
        victim.answer(inputs)
    wall, busy = time.perf_counter() - began, spent(url).since(before)
    numbers = {
        "rows/s": waves * len(inputs) / wall,
        "in memory rows/s": len(inputs) / local,
        "of the time in the model": busy.model / wall,
        "of its processor time": busy.model_share,
    }
    case = f"{scene.name}, {'binary' if binary else 'JSON'}, {batch} rows a request"
    if not binary:
        return Row(case, numbers)
    return Row(case, numbers, f"time >= {GOAL:.2f}", busy.model / wall >= GOAL)


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("serving", "Serving over loopback: the share of time in an ONNX model")
    cases = [(LENET, 512), (RESNET, 128), (LENET, 128)]
    if toy:
        cases = [(LENET, 8)]
    for scene, batch in cases[:2] if quick else cases:
        with TemporaryDirectory(prefix="clonecost-bench-") as folder:
            graph = Path(folder) / "net.onnx"
            export(scene, graph)
            memory = load_victim(str(graph), input_shape=scene.shape, num_classes=CLASSES)
            with served(scene, graph) as url:
                for binary in (True, False):
                    waves = 1 if toy else 5 if quick else 20
                    waves = waves if binary else max(1, waves // 5)  # it is that much slower
                    outcome.rows.append(measure(
                        scene, url, memory.answer, binary=binary, batch=batch, waves=waves
                    ))  # fmt: skip
    return outcome
