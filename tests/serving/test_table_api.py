"""Tables over HTTP: served, described, refused, and attacked with float64 answers."""

from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from safetensors.torch import load_file
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tests.support.cli_runs import agree, run
from tests.support.endpoint_servers import Server, serving
from tests.support.live_server import client_of, live
from tests.support.table_toys import COLOUR, TableToy, linear_toy, numbers, tree_toy
from tests.support.toys import CLASSES
from torch import Tensor

from clonecost.config import make_spec
from clonecost.errors import VictimError
from clonecost.result import metric_value, read_result
from clonecost.serving import Limits, ServedModel, make_app
from clonecost.serving.description import request_body
from clonecost.serving.model import served_model
from clonecost.types import PredictionApi
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim

FEATURES = (*numbers(3), COLOUR)
INFER = "/v2/models/toy/infer"


@pytest.fixture
def toy() -> TableToy:
    return linear_toy(FEATURES, CLASSES)


def served(toy: TableToy, **changes: Any) -> ServedModel:
    api = PredictionApi(
        input_shape=(len(toy.features),), num_classes=toy.classes, features=toy.features,
        incomplete=toy.incomplete, **changes,
    )  # fmt: skip
    return ServedModel(name="toy", victim=toy.answer, api=api)


def request(*rows: list[float | None], **changes: object) -> dict[str, object]:
    tensor = {"name": "features", "datatype": "FP32", "shape": [len(rows), len(FEATURES)],
              "data": [value for row in rows for value in row]}  # fmt: skip
    return {"inputs": [{**tensor, **changes}]}


ROW: list[float | None] = [0.5, -1.0, 0.25, 2.0]


@pytest.mark.parametrize("binary", [True, False])
def test_answers_stay_float64(toy: TableToy, binary: bool) -> None:
    rows = torch.tensor([ROW, [0.1, 0.2, 0.3, 0.0]])
    with live(make_app(served(toy), Limits())) as url:
        victim = endpoint_victim(
            f"{url}/v2/models/toy", input_shape=(4,), num_classes=CLASSES, features=FEATURES,
            settings=EndpointSettings(binary=binary), rate=1e6,
        )  # fmt: skip
        answers = victim.answer(rows)
    assert answers.dtype == torch.float64
    assert torch.equal(answers, toy.answer(rows))
    assert "rows of a table" in victim.served


@pytest.mark.parametrize("binary", [True, False])
def test_missing_values_reach_the_model(binary: bool) -> None:
    toy = tree_toy(FEATURES)
    rows = torch.tensor([ROW, [torch.nan, 0.2, torch.nan, 0.0]])
    with live(make_app(served(toy), Limits())) as url:
        victim = endpoint_victim(
            f"{url}/v2/models/toy", input_shape=(4,), num_classes=toy.classes, features=FEATURES,
            settings=EndpointSettings(binary=binary), rate=1e6,
        )  # fmt: skip
        assert torch.equal(victim.answer(rows), toy.answer(rows))


def test_metadata_and_description(toy: TableToy) -> None:
    with client_of(served(toy)) as client:
        found = client.get("/v2/models/toy").json()
        described = client.get("/openapi.json").json()
    assert found["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert found["outputs"][0]["datatype"] == "FP64"
    body = described["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]
    assert "`n0` from -1 to 1; " in body["description"]
    assert "`colour`, 0 for red, 1 for green, 2 for blue" in body["description"]
    example = body["content"]["application/json"]["example"]
    with client_of(served(toy)) as client:
        assert client.post(INFER, json=example).status_code == 200


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (request([9.0, 0, 0, 0]), "the feature 'n0' takes a number from -1 to 1; got 9 in row 0"),
        (request(ROW, [0, 0, 0, 1.5]), "'colour' takes one of its 3 categories, 0 to 2; got 1.5"),
        (request([None, 0, 0, 0]), "are not an array of numbers"),
        (request(ROW, name="pixels"), "got 'pixels', want 'features'"),
        (request(ROW, shape=[2, 2]), "got (2, 2), want (n, 4)"),
        (request(ROW, datatype="FP64"), "got 'FP64', want 'FP32'"),
    ],
)
def test_a_bad_row_is_refused_in_one_sentence(body: object, sentence: str, toy: TableToy) -> None:
    with client_of(served(toy)) as client:
        refused = client.post(INFER, json=body)
    assert refused.status_code == 400
    assert sentence in refused.json()["error"]


def test_null_is_a_missing_value_if_incomplete_rows_are_allowed_and_text_is_refused() -> None:
    with client_of(served(tree_toy(FEATURES))) as client:
        assert client.post(INFER, json=request([None, 0, 0, None])).status_code == 200
        words = client.post(INFER, json=request([None, "1", 0, None]))  # type: ignore[list-item]
    assert "are not an array of numbers" in words.json()["error"]


# -- the source of the columns -------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pipeline that takes words, and rows outside its training data."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({
        "age": rng.integers(18, 99, 300), "colour": rng.choice(["red", "green", "blue"], 300),
        "income": rng.normal(100, 20, 300).round(1),
    })  # fmt: skip
    bought = np.where(rows["age"] + 30 * (rows["colour"] == "red") > 70, "yes", "no")
    columns = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression(max_iter=5_000))
    skops.io.dump(model.fit(rows[:200], bought[:200]), "shop.skops")
    rows[200:].assign(label=bought[200:]).to_csv("rows.csv", index=False)
    return tmp_path


def test_the_zoo_states_ranges_and_a_file_states_names(shop: Path) -> None:
    of_zoo = served_model(make_spec({"victim": "iris-softmax"}, attacks=False))
    assert of_zoo.api.features is not None
    assert of_zoo.api.features[3].high == 2.5
    plain = served_model(make_spec({"victim": "shop.skops"}, attacks=False))
    assert (plain.name, plain.api.num_classes) == ("shop", 2)
    assert plain.api.features is not None
    assert [feature.name for feature in plain.api.features] == ["age", "colour", "income"]
    assert "features: `age`, a number; " in request_body(plain, 1, 1)["description"]
    ranged = served_model(make_spec({"victim": "shop.skops", "test": "rows.csv"}, attacks=False))
    assert ranged.api.features is not None
    assert ranged.api.features[1].categories == ("blue", "green", "red")
    assert ranged(torch.tensor([[40.0, 2, 100]])).dtype == torch.float64


QUICK = ["--attack", "tramer_lr", "--budget", "200", "--uniform", "100"]


def test_the_same_audit_in_memory_and_over_http(shop: Path) -> None:
    here = run("audit", "shop.skops", "--test", "rows.csv", *QUICK, "--out", "here")
    assert here.status == 0, here.err
    model = served_model(make_spec({"victim": "shop.skops", "test": "rows.csv"}, attacks=False))
    with live(make_app(model, Limits())) as url:
        there = run(
            "audit", f"{url}/v2/models/shop", "--test", "rows.csv", *QUICK, "--rate", "9000",
            "--out", "there",
        )  # fmt: skip
    assert there.status == 0, there.err
    assert "spot check" not in there.err  # it could be made
    clones = [load_file(shop / folder / "clone.safetensors") for folder in ("here", "there")]
    for key, value in clones[0].items():
        torch.testing.assert_close(clones[1][key], value, atol=1e-9, rtol=0)
    found = [read_result(shop / folder) for folder in ("here", "there")]
    assert [result.spent for result in found] == [11, 11]  # six to solve, five to check
    assert found[1].curve[-1].agreement.value == 1
    assert found[1].spot_check is not None
    assert found[1].spot_check.changed == 0


SPEC = """
victim = "shop"
test = "rows.csv"
attack = "tramer_lr"
budget = 200
uniform = 100
rate = 9_000

[endpoint]
url = "{url}/buys"
body = {{ rows = "$inputs" }}
answers = "answers"
classes = ["yes", "no"]

[[features]]
name = "age"
low = 18
high = 120

[[features]]
name = "colour"
categories = ["red", "green", "blue"]

[[features]]
name = "income"
low = 0
high = 200
"""


def buys(shop: Path, asked: list[Any]) -> Any:
    """An owner's API: records in words, answers by name."""
    from fastapi import FastAPI

    model, app = skops.io.load(shop / "shop.skops"), FastAPI()

    @app.post("/buys")
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        asked.extend(body["rows"])
        rows = pd.DataFrame(body["rows"])
        answers = model.predict_proba(rows[["age", "colour", "income"]])
        return {
            "answers": [dict(zip(model.classes_, row.tolist(), strict=True)) for row in answers]
        }

    return app


def test_an_api_of_records_is_audited_from_a_spec(shop: Path) -> None:
    asked: list[Any] = []
    with live(buys(shop, asked)) as url:
        Path("spec.toml").write_text(SPEC.format(url=url))
        agreed = agree(f"address:{url}/buys")
        planned = run("plan", "spec.toml")
        assert "200 rows of rows.csv and uniform ones" in " ".join(planned.out.split())
        assert asked == []
        done = run("audit", "spec.toml", "--out", "run", *agreed)
        assert done.status == 0, done.err
        assert run("audit", "spec.toml", "--out", "run", *agreed).status == 0  # finished already
    assert {type(row["colour"]) for row in asked} == {str}
    assert set(asked[0]) == {"age", "colour", "income"}
    result = read_result(shop / "run")
    assert (result.spent, result.curve[-1].agreement.value) == (11, 1)
    # the order of the classes does not matter
    assert (metric_value(result.curve[-1], "accuracy") or 0) > 0.8
    assert result.victim.served.startswith("JSON template, record in")
    assert len(asked) == result.spent + result.evaluation + 20  # a spot check
    assert run("verify", "run").status == 0


HOSTS = ("127.0.0.1:1/buys", "127.0.0.1:1/v2/models/buys", "shop.example/buys")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("low = 18\n", "", "age needs low and high, or categories"),
        ('"red", "green"', '"red"', "colour holds 'green', which is none of its categories"),
        ('name = "income"', 'name = "salary"', "rows.csv has no column 'salary'"),
        ("[endpoint]", "pixels = '0..255'\n[endpoint]", "http://127.0.0.1:1/buys takes rows of a"),
        ("\n\n[[", "\nencoding = 'png'\n[[", "got 'png', want record, array, codes, one_hot"),
        ("/buys", "/v2/models/buys", "http://127.0.0.1:1/v2/models/buys does not answer"),
        ("127.0.0.1:1", "shop.example", "shop.example is not this machine"),
        ("high = 120", "hihg = 120", "features.0.hihg"),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_one_sentence(old: str, new: str, sentence: str, shop: Path) -> None:
    text = SPEC.format(url="http://127.0.0.1:1").replace(old, new, 1)
    if "/v2/" in new:
        text = "\n".join(
            line for line in text.splitlines() if not line.startswith(("body", "answers"))
        )
    Path("spec.toml").write_text(text)
    agreed = agree(*(f"address:http://{host}" for host in HOSTS))
    said = run("audit", "spec.toml", "--out", "run", *agreed)
    assert said.status == 2
    assert sentence in said.err
    assert not list((shop / "run").rglob("*"))


def test_a_server_that_would_round_the_numbers_is_refused(toy: TableToy) -> None:

    def model(rows: Tensor) -> Tensor:
        return toy.answer(rows)

    with (
        serving(Server(model, [4], CLASSES, datatype="FP16")) as server,
        pytest.raises(VictimError, match=r"would round the numbers .*got FP16, want FP32 or FP64"),
    ):
        endpoint_victim(
            server.model_url, input_shape=(4,), num_classes=CLASSES, features=FEATURES,
            settings=EndpointSettings(encoding="codes"),
        )  # fmt: skip


def test_a_client_of_the_server_is_any_http_client(toy: TableToy) -> None:
    with live(make_app(served(toy, answers="label"), Limits())) as url:
        said = httpx2.post(f"{url}{INFER}", json=request(ROW)).json()
    assert sorted(said["outputs"][0]["data"]) == [0.0] * (CLASSES - 1) + [1.0]
