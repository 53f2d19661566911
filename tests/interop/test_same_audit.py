"""One audit, five ways to reach the same network: the same questions, answers, curve and clone.

| way | answers | curve | clone |
|---|---|---|---|
| `clonecost serve`, binary or JSON | the very bits of memory | the same | the same bits |
| ONNX file, MLServer (which serves it) | within ANSWERS of memory | within CURVE | within WEIGHTS |

ONNX Runtime sums in another order than torch; training carries that on to the clone.
"""

import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.foreign import mlserver, needs_mlserver, onnx_model
from tests.support.live_server import live
from torch import Tensor, nn

from clonecost.audit import Watcher
from clonecost.config import EVERYTHING, make_spec
from clonecost.oracle.ledger import Ledger
from clonecost.result import Result
from clonecost.serving import Limits, Metrics, make_app, served_model
from clonecost.victims.zoo.catalogue import VICTIMS
from clonecost.victims.zoo.images import zoo_model
from clonecost.workflows.run import run_spec

VICTIM, BUDGET = "digits-lenet", 400
SHAPE, CLASSES = VICTIMS[VICTIM].input_shape, VICTIMS[VICTIM].num_classes
ANSWERS, CURVE, WEIGHTS = 1e-5, 0.01, 1e-4  # of the weights 5e-6 was measured
# As many rows as a torch model gets at once in memory: sums of another batch may round otherwise.
# (At most a quarter of what may be lost is in flight, so `max_lost` must leave room for that.)
ROWS = 128


@dataclass(frozen=True)
class Run:
    result: Result
    attack: "tuple[bytes, Tensor]"  # digests of the rows, and their answers
    evaluation: "tuple[bytes, Tensor]"
    clone: dict[str, Tensor]
    rows: int  # in the ledger: everything that was sent


def audit(folder: Path, **victim: Any) -> Run:
    spec = make_spec({
        "attack": "knockoff:shared", "set": {"knockoff": {"epochs": 3}}, "proxy": "photos",
        "budget": BUDGET, "milestones": [200], "student": "half-lenet", "device": "cpu", **victim,
    })  # fmt: skip
    ((_, result),) = run_spec(spec, folder, watch=lambda _: Watcher(), consent=EVERYTHING)
    with closing(Ledger.read(folder / "ledger.sqlite")) as ledger:
        bought = [
            ledger.recorded(account, 0, ledger.totals(account).settled)
            for account in ("attack", "evaluation")
        ]
    attack, evaluation = ((one.digests, one.answers) for one in bought if one)
    return Run(
        result=result, attack=attack, evaluation=evaluation,
        clone=load_file(folder / "clone.safetensors"),
        rows=result.provenance.ledger_rows,
    )  # fmt: skip


def at(url: str, **endpoint: Any) -> dict[str, Any]:
    """The keys of a spec that audits an address."""
    return {
        "victim": url, "test": "digits", "shape": list(SHAPE), "rate": 1e6, "max_lost": 40 * ROWS,
        "endpoint": {"batch_size": ROWS, "timeout": 120, **endpoint},
    }  # fmt: skip


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return audit(tmp_path_factory.mktemp("memory") / "run", victim=VICTIM)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as an ONNX graph that gives probabilities."""
    path = tmp_path_factory.mktemp("graph") / "lenet.onnx"
    network = nn.Sequential(zoo_model(VICTIM), nn.Softmax(1)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        torch.onnx.export(
            network, (torch.rand(2, *SHAPE),), path, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    return path


@contextmanager
def our_server() -> Iterator[tuple[str, Metrics]]:
    metrics = Metrics()
    model = served_model(make_spec({"victim": VICTIM, "device": "cpu"}))
    with live(make_app(model, Limits(max_rows=ROWS), metrics=metrics)) as url:
        yield f"{url}/v2/models/{VICTIM}", metrics


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_our_server_is_memory_to_the_last_bit(binary: bool, memory: Run, tmp_path: Path) -> None:
    with our_server() as (url, metrics):
        run = audit(tmp_path / "run", **at(url, binary=binary))
        spot = run.result.spot_check  # an endpoint's paid rows, asked again at the end
        assert spot is not None
        assert (spot.rows, spot.changed) == (20, 0)
        assert metrics.rows() == run.rows == BUDGET + memory.result.evaluation + spot.rows
    for served, local in ((run.attack, memory.attack), (run.evaluation, memory.evaluation)):
        assert served[0] == local[0]
        assert torch.equal(served[1], local[1])
    assert run.result.curve == memory.result.curve
    assert all(torch.equal(run.clone[key], value) for key, value in memory.clone.items())


def test_an_onnx_file_is_memory_within_a_tolerance(
    graph: Path, memory: Run, tmp_path: Path
) -> None:
    spec = {"victim": str(graph), "test": "digits", "shape": list(SHAPE)}
    must_be_close(audit(tmp_path / "run", **spec), memory)


@needs_mlserver
def test_a_server_that_we_did_not_write_is_memory_within_a_tolerance(
    graph: Path, memory: Run, tmp_path: Path
) -> None:
    with mlserver(onnx_model(graph, SHAPE, CLASSES), tmp_path / "server") as url:
        run = audit(tmp_path / "run", **at(url))
    must_be_close(run, memory)
    assert run.result.endpoint is not None
    assert "JSON" in run.result.endpoint.protocol  # it says that it has no binary extension


def must_be_close(run: Run, memory: Run) -> None:
    for found, local in ((run.attack, memory.attack), (run.evaluation, memory.evaluation)):
        assert found[0] == local[0]  # the questions are the same to the bit
        torch.testing.assert_close(found[1], local[1], atol=ANSWERS, rtol=0)
    spot = run.result.spot_check  # of an endpoint: paid rows that are asked again at the end
    assert run.rows == memory.rows + (spot.rows if spot else 0)
    for here, there in zip(run.result.curve, memory.result.curve, strict=True):
        assert here.queries == there.queries
        assert abs(here.agreement.value - there.agreement.value) <= CURVE
    for key, value in memory.clone.items():
        torch.testing.assert_close(run.clone[key], value, atol=WEIGHTS, rtol=0)
