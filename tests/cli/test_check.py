"""`clonecost check`: what is understood of a victim, found before an audit begins."""

import json
import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from tests.support.cli_runs import MINE, run
from tests.support.endpoint_servers import Server, serving
from tests.support.workbench import SHAPE
from torch import Tensor

from clonecost.victims import load_weights

WEIGHTS = ["lenet.safetensors", "--network", "lenet", "--shape", ",".join(map(str, SHAPE)),
           "--classes", "4", *MINE[1:]]  # fmt: skip


pytestmark = pytest.mark.usefixtures("at_the_bench")


@pytest.fixture
def server(bench: Path) -> Iterator[Server]:
    net = load_weights(bench / "lenet.safetensors", "lenet", SHAPE, 4).requires_grad_(False)

    def model(inputs: Tensor) -> Tensor:
        return net(inputs).softmax(1)

    with serving(Server(model, list(SHAPE), 4)) as found:
        yield found


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }  # fmt: skip


def test_what_is_understood_is_shown_and_nothing_is_written(bench: Path) -> None:
    before = files(bench)
    said = run("check", *WEIGHTS, "--threads", "3")
    assert said.status == 0, said.err
    words = " ".join(said.out.split())
    for fact in ("first row", "its answer", "gives logits", "ms for one row",
                 "threads 3 (as stated)", "of training on",
                 "knockoff:shared about", "on disk", "the same answers alone, in a batch",
                 ):  # fmt: skip
        assert fact in words, fact
    assert files(bench) == before


def test_the_findings_are_one_document() -> None:
    said = run("check", *WEIGHTS, "--json", "--attack", "knockoff", "--attack", "dfme")
    found = json.loads(said.out)
    assert [one["attack"] for one in found["estimates"]] == ["knockoff", "dfme"]
    assert found["rows_sent"] > 0
    assert found["speed"]["student"] > 0


def test_an_endpoint_gets_no_row_unless_the_owner_says_so(server: Server) -> None:
    said = run("check", server.model_url, *MINE[1:])
    assert said.status == 0, said.err
    assert server.rows == 0
    assert "not asked: rows may cost money" in " ".join(said.out.split())
    said = run("check", server.model_url, *MINE[1:], "--rows", "7")
    assert server.rows == 7
    assert "7 rows, outside of any audit's account" in " ".join(said.out.split())


def test_a_function_may_send_its_rows_to_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "asked"
    monkeypatch.setenv("OWN_LOG", str(log))
    said = run("check", *MINE)
    assert said.status == 0, said.err
    assert not log.exists() or log.read_text() == ""
    assert "not asked" in said.out


@pytest.mark.parametrize(("words", "problem"), [
    (["nowhere:net", *MINE[1:]], "no Python module 'nowhere'"),
    ([*WEIGHTS, "--milestones", "90", "--budget", "50"], "milestone 90 lies above the budget"),
    ([*WEIGHTS[:6], "3", *MINE[1:]], "classes"),
    ([*WEIGHTS, "--attack", "dfme", "--answers", "label"], "needs richer answers"),
    ([*WEIGHTS, "--attack", "dfme", "--budget", "10"], "too small for one iteration"),
    (["absent.safetensors", *WEIGHTS[1:]], "no file absent.safetensors"),
    ([*WEIGHTS, "--proxy", "absent.npz"], "absent.npz"),
])  # fmt: skip
def test_what_would_stop_an_audit_is_found(words: list[str], problem: str) -> None:
    said = run("check", *words)
    assert said.status == 2
    assert problem in " ".join(said.err.split())


@pytest.mark.parametrize("words", [WEIGHTS, ["iris-softmax"]])
def test_the_test_rows_are_read_once(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    for place in ("config.build.load", "workflows.plan.load", "config.build.load_table",
                  "workflows.plan.load_table"):  # fmt: skip
        monkeypatch.setattr(f"clonecost.{place}", counted(place, read))
    assert run("check", *words).status == 0
    assert len(read) == 1


def counted(place: str, read: list[object]) -> Callable[..., object]:
    """The function of that name, which notes each time that it reads test rows."""
    module, _, name = place.rpartition(".")
    real = getattr(import_module(f"clonecost.{module}"), name)

    def load(data: str, split: str, *rest: object, **more: object) -> object:
        if split == "test":
            read.append(data)
        return real(data, split, *rest, **more)

    return load


def test_a_table_is_checked_too() -> None:
    said = run("check", "iris-softmax", "--uniform", "10")
    assert said.status == 0, said.err
    words = " ".join(said.out.split())
    assert "tramer_adaptive_retrain" in words
    assert "setosa" in words


def test_what_the_refusal_says_to_add_is_enough(tmp_path: Path, bench: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'victim = "own:probs"\ntest = "test.npz"\nproxy = "proxy.npz"\nstudent = "lenet"\n'
    )
    refused = run("check", path)
    assert refused.status == 2
    remedy = " ".join(refused.err.split()).rpartition("Use ")[2].removesuffix(".")
    assert remedy.startswith("--consent code:")
    said = run("check", path, *shlex.split(remedy))
    assert said.status == 0, said.err
    assert "not asked" in said.out
