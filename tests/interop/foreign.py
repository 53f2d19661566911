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

import httpx2
import pytest

PYTHON = os.environ.get("CLONECOST_MLSERVER", "")
needs_mlserver = pytest.mark.skipif(
    not Path(PYTHON).is_file(),
    reason="CLONECOST_MLSERVER names no Python that has MLServer; `make test` sees to it",
)


@contextmanager
def mlserver(graph: Path, folder: Path, shape: tuple[int, ...], classes: int) -> Iterator[str]:
    """Serve an ONNX graph with MLServer; the URL of the model, called `lenet`."""
    http, grpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
                "debug": False, "parallel_workers": 0}  # fmt: skip
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [-1, *shape]}
    model = {
        "name": "lenet",
        "implementation": "onnx_classifier.OnnxClassifier",
        "parameters": {"uri": str(graph)},
        "inputs": [tensor],
        "outputs": [{**tensor, "name": "probabilities", "shape": [-1, classes]}],
    }
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
        url = f"http://127.0.0.1:{http}/v2/models/lenet"
        try:
            wait_for(f"{url}/ready", process, log)
            yield url
        finally:
            process.terminate()


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
