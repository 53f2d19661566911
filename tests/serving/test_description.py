"""The server fits its OpenAPI description: schemathesis generates requests and checks answers."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.live_server import live
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_toys import COLOUR, numbers, tree_toy
from tests.support.toys import CLASSES, SHAPE

from clonecost.serving import Limits, ServedModel, make_app
from clonecost.types import PredictionApi, Victim

TOKEN = "only-for-this-test"


def images(victim: Victim) -> ServedModel:
    api = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)
    return ServedModel(name="toy", victim=victim, api=api)


def table(victim: Victim) -> ServedModel:
    features = (*numbers(3), COLOUR)
    api = PredictionApi(input_shape=(4,), num_classes=CLASSES, features=features, incomplete=True)
    return ServedModel(name="toy", victim=victim, api=api)


@pytest.mark.parametrize("kind", ["images", "table"])
def test_the_server_fits_its_description(kind: str, victim: Victim, tmp_path: Path) -> None:
    """In a process of its own: the pytest plugin of schemathesis 4 does not support pytest 9."""
    tree = tree_toy((*numbers(3), COLOUR)).answer
    counting = RecordingVictim(victim if kind == "images" else tree)
    model = images(counting) if kind == "images" else table(counting)
    with live(make_app(model, Limits(max_rows=50), token=TOKEN)) as url:
        header = f"Authorization: Bearer {TOKEN}"
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "-H", header,
             "--phases", "examples,coverage,fuzzing", "--max-examples", "5",
             "--generation-deterministic", "--no-color",
             # no schema can state that the length of `data` is the product of `shape`
             "--exclude-checks", "positive_data_acceptance"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 selected / 7 total" in done.stdout
    assert counting.seen > 0  # some requests were valid
