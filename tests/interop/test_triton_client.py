"""Triton's own client, which speaks the protocol's reference dialect, talks to our server."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from tests.support.foreign import PYTHON, needs_mlserver
from tests.support.live_server import live
from tests.support.toys import CLASSES, SHAPE

from clonecost.serving import Limits, ServedModel, make_app
from clonecost.types import PredictionApi, Victim

CLIENT = """
import json, sys
import numpy as np
import tritonclient.http as http

address, folder = sys.argv[1:]
client = http.InferenceServerClient(address)
x = np.load(f"{folder}/x.npy")
for binary in (False, True):
    question = http.InferInput("pixels", list(x.shape), "FP32")
    question.set_data_from_numpy(x, binary_data=binary)
    asked = http.InferRequestedOutput("probabilities", binary_data=binary)
    said = client.infer("toy", [question], outputs=[asked], request_id="seven")
    assert said.get_response()["id"] == "seven"
    np.save(f"{folder}/{'binary' if binary else 'json'}.npy", said.as_numpy("probabilities"))
try:
    small = http.InferInput("pixels", [1, 2], "FP32").set_data_from_numpy(x[0, 0, :1, :2])
    client.infer("toy", [small])
except http.InferenceServerException as error:
    refused = error.message()
print(json.dumps({
    "live": client.is_server_live(), "ready": client.is_server_ready(),
    "model": client.is_model_ready("toy"), "other": client.is_model_ready("other"),
    "server": client.get_server_metadata(), "metadata": client.get_model_metadata("toy"),
    "refused": refused,
}))
"""


@needs_mlserver  # whose environment has the client
def test_triton_s_client_gets_the_same_answers_either_way(victim: Victim, tmp_path: Path) -> None:
    x = torch.rand(9, *SHAPE)
    np.save(tmp_path / "x.npy", x.numpy())
    api = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)
    model = ServedModel(name="toy", victim=victim, api=api)
    with live(make_app(model, Limits())) as url:
        done = subprocess.run(
            [PYTHON, "-c", CLIENT, url.removeprefix("http://"), str(tmp_path)],
            capture_output=True, text=True, timeout=120,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [found[key] for key in ("live", "ready", "model", "other")] == [True, True, True, False]
    assert found["server"]["extensions"] == ["binary_tensor_data"]
    assert found["metadata"]["outputs"][0]["shape"] == [-1, CLASSES]
    assert "want (n, 1, 8, 8)" in found["refused"]
    for way in ("json", "binary"):
        np.testing.assert_array_equal(np.load(tmp_path / f"{way}.npy"), victim(x).numpy())
