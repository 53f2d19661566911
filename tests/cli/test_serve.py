"""`clonecost serve` from the outside: a process, its address, Ctrl-C, and what it refuses."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from tests.support.cli_runs import command, environment, run
from tests.support.live_server import answers, in_binary
from tests.support.workbench import CLASSES, SHAPE

from clonecost.serving import bind
from clonecost.serving.model import url_name
from clonecost.victims import load_victim

OWN = ["own:probs", "--shape", "1,16,16", "--classes", "4"]


pytestmark = pytest.mark.usefixtures("at_the_bench")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_stopped(stop: signal.Signals, bench: Path) -> None:
    words = [
        "serve", "lenet.safetensors", "--network", "lenet", *OWN[1:], "--defence",
        "rounding:decimals=1", "--host", "0.0.0.0", "--port", "0", "--token-env", "SECRET",
    ]  # fmt: skip
    with subprocess.Popen(
        command(*words), cwd=bench, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(bench, SECRET="s3cret"),
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            url = process.stdout.readline().strip().replace("0.0.0.0", "127.0.0.1")
            assert url.endswith("/v2/models/lenet")
            x = torch.rand(3, *SHAPE)
            body, headers = in_binary(x)
            refused = httpx2.post(f"{url}/infer", content=body, headers=headers, timeout=30)
            assert refused.status_code == 401
            headers["Authorization"] = "Bearer s3cret"
            got = answers(httpx2.post(f"{url}/infer", content=body, headers=headers, timeout=30))
            probs = load_victim(
                "lenet.safetensors", network="lenet", input_shape=SHAPE, num_classes=CLASSES
            ).answer(x)
            np.testing.assert_allclose(got, probs, atol=0.13)  # one decimal, renormalised
            assert set(np.round(got * 10)[np.isclose(got.sum(1), 1)].ravel()) <= set(range(11))
            process.send_signal(stop)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert "0.0.0.0 can be reached from other machines" in err
    assert "anybody" not in err  # there is a token
    assert "s3cret" not in err
    assert "Traceback" not in err
    if stop == signal.SIGINT:
        assert process.returncode == 0
        assert "stopped; 3 rows were answered" in err


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


REFUSED = {
    "no shape": (["own:probs"], "Use --shape C,H,W"),
    "no token": ([*OWN, "--token-env", "NOT_SET"], "--token-env NOT_SET"),
    "no such host": ([*OWN, "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    "name": ([*OWN, "--name", "shop/net"], "got 'shop/net', want letters"),
    "rate": ([*OWN, "--rate", "0"], "got 0.0, want a number above 0. Use --rate"),
    "rows": ([*OWN, "--max-rows", "0"], "got 0, want a number above 0. Use --max-rows"),
    "top_k": ([*OWN, "--answers", "top_k:5"], "got 5, want 1 to 3"),
    "answers": ([*OWN, "--answers", "labels"], "answers: got 'labels', want probs"),
    "defence": ([*OWN, "--defence", "round"], "did you mean 'rounding'"),
    "victim": (["digit-lenet"], "did you mean 'digits-lenet'"),
    "endpoint": (["http://127.0.0.1:1/v2/models/m"], "Audit the endpoint itself"),
    "missing": (["absent.safetensors", "--network", "lenet", *OWN[1:]], "no file absent"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_victim_that_cannot_be_served_is_one_sentence(what: str) -> None:
    words, sentence = REFUSED[what]
    said = run("serve", *words, "--port", free_port())
    assert (said.status, said.out) == (2, "")
    assert sentence in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = run("serve", *OWN, "--port", taken.getsockname()[1])
    assert said.status == 2
    assert "Use --port; or use --host" in said.err


def test_no_answer_waits_for_a_delayed_acknowledgement() -> None:
    """asyncio looks at the accepted socket's protocol before it turns Nagle's algorithm off."""
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("clonecost.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("clonecost.serving", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    said = run("serve", *OWN)
    assert said.status == 2
    assert "un `pip install 'clonecost[serve]'`" in said.err


def test_a_victims_name_becomes_one_segment_of_a_url() -> None:
    found = [url_name(name) for name in ("digits-lenet", "own:net", "a/b c.onnx", "x.v2.pt2", "()")]
    assert found == ["digits-lenet", "own-net", "b-c", "x.v2", "model"]
