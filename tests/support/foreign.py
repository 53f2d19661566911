"""Programs that we did not write: MLServer and Triton's client, in an environment of their own.

Their pins (fastapi below 0.116) exclude ours, so `make test` builds that environment and names its
interpreter in CLONECOST_MLSERVER; without it these tests are skipped.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

PYTHON = os.environ.get("CLONECOST_MLSERVER", "")
needs_mlserver = pytest.mark.skipif(
    not Path(PYTHON).is_file(),
    reason="CLONECOST_MLSERVER names no Python that has MLServer; `make test` sees to it",
)


@contextmanager
def mlserver(model: dict[str, Any], folder: Path) -> Iterator[str]:
    """Serve what `model` describes (MLServer's settings of a model); its URL."""
    http, grpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
                "debug": False, "parallel_workers": 0}  # fmt: skip
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    log = folder / "mlserver.log"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    start = "from mlserver.cli import main; main()"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [PYTHON, "-c", start, "start", str(folder)], cwd=folder, env=environment,
            stdout=said, stderr=said,
        ) as process,
    ):  # fmt: skip
        url = f"http://127.0.0.1:{http}/v2/models/{model['name']}"
        try:
            wait_for(f"{url}/ready", process, log)
            yield url
        finally:
            process.terminate()


def onnx_model(graph: Path, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """An ONNX graph of images, which says what it takes and gives."""
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [-1, *shape]}
    return {
        "name": "lenet",
        "implementation": "onnx_classifier.OnnxClassifier",
        "parameters": {"uri": str(graph)},
        "inputs": [tensor],
        "outputs": [{**tensor, "name": "probabilities", "shape": [-1, classes]}],
    }


def sklearn_model(file: Path) -> dict[str, Any]:
    """A pickled estimator behind MLServer's own server for scikit-learn, which says nothing."""
    implementation = "mlserver_sklearn.SKLearnModel"
    return {"name": "iris", "implementation": implementation, "parameters": {"uri": str(file)}}


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        found = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in found]


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.TransportError:
            pass  # it does not listen yet
        time.sleep(0.1)
    raise AssertionError(f"MLServer did not come up in a minute:\n{log.read_text()}")
