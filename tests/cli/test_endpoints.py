"""Audits of an endpoint from the command line: money, time, permission, secrets, losses, resume."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.support.cli_runs import MINE, QUICK, agree, run
from tests.support.endpoint_servers import Server, serving
from tests.support.workbench import SHAPE, TEST_ROWS
from torch import Tensor

from clonecost.result import json_schema
from clonecost.victims import load_weights

SECRET = "pa55w0rd-of-the-shop"
DATA = MINE[1:-2]  # test set, proxy, student, and the spot check of an endpoint


pytestmark = pytest.mark.usefixtures("at_the_bench")


@pytest.fixture(autouse=True)
def a_short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clonecost.victims.endpoints.sending.FIRST_PAUSE", 0.01)


@pytest.fixture
def server(bench: Path) -> Iterator[Server]:
    net = load_weights(bench / "lenet.safetensors", "lenet", SHAPE, 4).requires_grad_(False)

    def model(inputs: Tensor) -> Tensor:
        """Row by row: the size of a batch would move the last bits of its answers."""
        return torch.cat([net(row).softmax(1) for row in inputs.split(1)])

    with serving(Server(model, list(SHAPE), 4)) as found:
        yield found


def test_the_same_network_behind_an_endpoint_gives_the_same_clone(
    server: Server, tmp_path: Path
) -> None:
    audit = [*DATA, *QUICK, "--budget", "80", "--json", "--price", "10"]
    here = run("audit", *MINE, *QUICK, "--budget", "80", "--out", tmp_path / "here")
    assert here.status == 0, here.err
    there = run("audit", server.model_url, *audit, "--rate", "5000", "--out", tmp_path / "there")
    assert there.status == 0, there.err
    clones = [load_file(tmp_path / one / "clone.safetensors") for one in ("here", "there")]
    for key, value in clones[0].items():
        np.testing.assert_allclose(clones[1][key], value, atol=1e-5)
    assert server.rows == TEST_ROWS + 80 + 20  # a spot check
    found = json.loads(there.out)
    jsonschema.validate(found, json.loads(json.dumps(json_schema())))
    card = found["endpoint"]
    assert (card["url"], card["rate"], card["lost_limit"]) == (server.model_url, 5000, 100)
    assert card["authorisation"] is None
    assert card["latency"] > 0
    assert found["victim"]["served"].startswith("Open Inference Protocol v2, binary, FP32, nchw")
    assert "80 spent ($0.80), 0 left" in there.err
    audit += ["--rate", "9", "--spot-check", "0"]
    again = run("audit", server.model_url, *audit, "--out", tmp_path / "there")
    assert again.status == 0, again.err
    assert server.rows == TEST_ROWS + 80 + 20  # a spot check
    page = run("report", tmp_path / "there", "--format", "md").out
    shown = server.model_url.replace("://", "\\://")  # as Markdown shows a name that is no link
    assert f"The queries went to {shown}" in page
    assert "Authorisation: not needed: the endpoint runs on the machine of the audit" in page
    assert run("verify", tmp_path / "there").status == 0


def spec(server: Server, path: Path, more: str = "", top: str = "") -> Path:
    path.write_text(f"""
victim = "shop"
test = "test.npz"
proxy = "proxy.npz"
student = "lenet"
attack = "knockoff"
budget = 80
milestones = [40]
rate = 5000
set.knockoff.epochs = 2
{top}

[endpoint]
url = "{server.model_url}"
headers = {{ Authorization = "Bearer env:SHOP_TOKEN" }}
batch_size = 8
concurrency = 2
{more}
""")
    return path


def consent_to(server: Server) -> list[str]:
    return agree(f"address:{server.model_url}", "secret:SHOP_TOKEN")


def test_without_consent_no_address_is_contacted_and_no_secret_is_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    path = spec(server, tmp_path / "shop.toml")
    both = consent_to(server)
    for agreed, left in (([], both), (both[:2], both[2:]), (both[2:], both[:2])):
        said = run("audit", path, "--out", tmp_path / "run", *agreed)
        assert said.status == 2
        assert said.err.rstrip().endswith(f"Use {' '.join(left)}.")
    assert server.requests == []
    assert not (tmp_path / "run").exists()


def test_a_secret_goes_to_the_server_and_nowhere_else(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec(server, tmp_path / "shop.toml")
    agreed = consent_to(server)
    unset = run("audit", path, "--out", tmp_path / "run", *agreed)
    assert (unset.status, "variable SHOP_TOKEN is not set" in unset.err) == (2, True)
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    said = [run("audit", path, "--out", tmp_path / "run", *agreed)]
    assert said[0].status == 0, said[0].err
    heard = {headers["authorization"] for _, _, headers, _ in server.requests}
    assert heard == {f"Bearer {SECRET}"}
    # a server that repeats what it was sent: at the first word, and in the middle of a run
    server.metadata = {"inputs": [], "outputs": [], "you sent": SECRET}
    said.append(run("audit", path, "--out", tmp_path / "other", *agreed))
    assert said[-1].status == 2
    server.metadata = None
    server.scenes += [("status", 500, {}, f"you sent {SECRET}")] * 999
    said.append(run("audit", path, "--out", tmp_path / "third", "--max-lost", "9000", *agreed))
    assert "you sent env:SHOP_TOKEN" in said[-1].err
    server.scenes[:] = [("status", 403, {}, f"you sent {SECRET}")] * 999
    said.append(run("audit", path, "--out", tmp_path / "fourth", *agreed))
    assert "403 Forbidden: you sent env:SHOP_TOKEN" in said[-1].err
    server.scenes.clear()
    said += [run("plan", path), run("report", tmp_path / "run", "--format", "md")]
    assert not any(SECRET in one.out + one.err for one in said)
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) > 10
    assert not any(SECRET.encode() in file.read_bytes() for file in written)
    assert "env:SHOP_TOKEN" in (tmp_path / "run" / "spec.toml").read_text()


ELSEWHERE = "https://models.shop.example/v2/models/toy"
PERMIT = """
[authorisation]
owner = "Shop Ltd"
granted_by = "A. Buyer"
date = 2026-01-31
scope = "the staging model, <b>80</b> rows"
"""


def test_elsewhere_is_refused_without_permission_and_nothing_is_written(tmp_path: Path) -> None:
    said = run("audit", ELSEWHERE, *DATA, "--out", tmp_path / "run")
    assert said.status == 2
    assert "models.shop.example is not this machine" in said.err
    assert "`authorisation` with owner, granted_by, date and scope" in " ".join(said.err.split())
    assert not (tmp_path / "run" / "ledger.sqlite").exists()
    planned = run("plan", ELSEWHERE, *DATA)
    assert planned.status == 0
    assert "missing: models.shop.example is not this machine" in " ".join(planned.err.split())


def test_plan_says_money_hours_and_losses_before_anything_is_sent(
    server: Server, tmp_path: Path
) -> None:
    path = spec(server, tmp_path / "shop.toml", f"latency = 12.0{PERMIT}", "price = 100.0")
    said = run("plan", path, "--rate", "2")
    words = " ".join(said.out.split())
    assert f"{server.model_url}, at most 2 rows a second" in words
    assert "A. Buyer for Shop Ltd, 2026-01-31: the staging model" in words
    assert "at least 14 min for 280 rows at that rate and 12 s a request" in words
    assert "at most $8.00 for the attacks' queries" in words
    assert "at most 100 more rows" in words
    assert "with the evaluation and one spot check per run, at most $40.00 in all" in words
    assert "of training on this machine" in words
    assert server.requests == []


def test_permission_stands_on_page_one_of_every_report(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    path = spec(server, tmp_path / "shop.toml", PERMIT)
    said = run("audit", path, "--out", tmp_path / "run", "--json", *consent_to(server))
    assert said.status == 0, said.err
    scope = "the staging model, <b>80</b> rows"
    assert json.loads(said.out)["endpoint"]["authorisation"] == {
        "owner": "Shop Ltd", "granted_by": "A. Buyer", "date": "2026-01-31", "scope": scope,
        "until": None, "rows": None,
    }  # fmt: skip
    page = (tmp_path / "run" / "report.html").read_text()
    top = page.partition("<main>")[0]
    for word in ("Shop Ltd", "A. Buyer", "2026-01-31", "the staging model, &lt;b&gt;80"):
        assert word in top
    first = run("report", tmp_path / "run", "--format", "md").out.partition("## Verdict")[0]
    assert "- Scope: the staging model, \\<b\\>80\\</b\\> rows" in first


def test_a_dead_endpoint_stops_the_run_and_resume_ends_in_the_same_clone(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    path = spec(server, tmp_path / "shop.toml", "attempts = 2", "spot_check = 0")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run("audit", path, "--out", whole, *consent_to(server)).status == 0
    before = server.rows
    # a quarter of 40 rows is in flight, in two requests: the 200 test rows, 30 more, then trouble
    server.scenes += ["answered"] * 46 + ["reset"] * 999
    stopped = run("audit", path, "--out", cut, "--max-lost", "40", *consent_to(server))
    assert stopped.status == 2
    assert "did not answer in 2 attempts" in stopped.err
    for _ in range(20):  # each time less is risked
        said = run("resume", cut)
        assert said.status == 2
        if "limit of lost rows (40) is reached" in said.err:
            break
    else:
        raise AssertionError("the limit was never reached")
    server.scenes.clear()
    ended = run("resume", cut, "--max-lost", "90", "--json")
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert found["lost"] == 40
    assert server.rows - before == found["spent"] + found["lost"] + found["evaluation"]
    assert (cut / "clone.safetensors").read_bytes() == (whole / "clone.safetensors").read_bytes()
    assert run("verify", cut).status == 0


def test_eight_bits_are_told_as_such(server: Server, tmp_path: Path) -> None:
    server.datatype = "UINT8"
    server.model = lambda x, model=server.model: model(x / 255)  # type: ignore[misc]
    audit = ["audit", server.model_url, *DATA, *QUICK, "--budget", "40", "--rate", "5000"]
    said = run(*audit, "--out", tmp_path / "run")
    assert (said.status, "se --input-precision uint8" in said.err) == (2, True)
    assert server.rows == 0
    assert run(*audit, "--out", tmp_path / "run", "--input-precision", "uint8").status == 0


WRONG = {
    "rate of a local victim": (["own:probs", "--rate", "5"], "The key rate describes an endpoint"),
    "rate of the zoo": (["digits-lenet", "--rate", "5"], "describes your own victim"),
    "layout of a module": (["own:net", "--layout", "nhwc"], "only an ONNX file or an endpoint"),
    "layout": (["m.onnx", "--layout", "chw"], "--layout does not take this value: got 'chw'"),
    "mean": (["m.onnx", "--mean", "a,b"], "--mean does not take this value: got 'a'"),
    "no file": (["m.onnx"], "no file m.onnx"),
    "endless": (["http://127.0.0.1:1/v2/models/m", "--rate", "inf"], "got 'inf', want a finite"),
    "no server": (["http://127.0.0.1:1/v2/models/m"], "Check the address, and that the endpoint"),
    "no protocol": (["http://127.0.0.1:1/predict"], "Describe another API with `endpoint`"),
    "a secret": (["https://me:pa55@shop.example/v2/models/m"], "holds a user's name"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_is_one_sentence(what: str, tmp_path: Path) -> None:
    words, sentence = WRONG[what]
    data = [] if words[0] == "digits-lenet" else DATA
    said = run("audit", *words, *data, "--out", tmp_path / "run")
    assert said.status == 2
    assert sentence in said.err
    assert "pa55" not in said.err
    assert "unexpected" not in said.err
    assert len(said.err.strip().splitlines()) == 1
