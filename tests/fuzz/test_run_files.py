"""Files of a run folder that somebody else made: result, transfer, samples, ledger, inputs."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from tests.support.fuzzing import broken, fuzz, holds_its_promise, json_bytes
from tests.support.run_folders import fresh_copy
from tests.support.synthetic_runs import (
    film_tensors,
    made_control,
    over_time,
    result,
    sample_tensors,
    search,
    wilson,
    write,
)
from tests.support.toys import CLASSES, SHAPE

from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.persistence.run_folder import digest_of
from clonecost.report import as_json, build_report, load_runs, markdown_text
from clonecost.result import Strength, Transfer
from clonecost.workflows.verify import verify

RESULT: dict[str, Any] = json.loads(
    result(
        search=search(),
        controls=[made_control("shuffled_answers", 0.3)],
        flags=[{"code": "a", "severity": "warning", "message": "b"}],
        traffic={"over_time": over_time(), "purposes": {"training": 20_000}},
    ).model_dump_json()
)
RESULT["spot_check"] = {"rows": 5, "asked": 4, "changed": 1, "largest": 0.5}
TRANSFER = Transfer(
    rows=10, right=9, labelled=True, queries=30, lost=0, seed=1, seconds=2.0,
    found=[Strength(method="fgsm", epsilon=0.1, fooled=wilson(0.5), fooled_clone=wilson(0.9))],
    ledger="transfers/a/ledger.sqlite", ledger_head="0" * 64, clone="1" * 64,
)  # fmt: skip


def report(run: Path) -> object:
    """All that is made of a run but the pictures of its curves."""
    page = build_report(load_runs([run]))
    return markdown_text(page), as_json(load_runs([run]))


@fuzz
@given(json_bytes(RESULT))
def test_a_result(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    holds_its_promise(lambda: report(tmp_path))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "run", result(), samples=3, films=2)


@fuzz
@given(json_bytes(json.loads(TRANSFER.model_dump_json())))
def test_a_transfer(run: Path, content: bytes) -> None:
    (run / "transfer.json").write_bytes(content)
    try:
        holds_its_promise(lambda: report(run))
    finally:
        (run / "transfer.json").unlink()


@fuzz
@given(st.sampled_from(["samples", "search"]), st.data())
def test_pictures(run: Path, kind: str, data: st.DataObject) -> None:
    tensors = sample_tensors(3) if kind == "samples" else film_tensors(2)
    path = run / f"{kind}.safetensors"
    whole = path.read_bytes()
    path.write_bytes(data.draw(broken(save(tensors))))
    try:
        holds_its_promise(lambda: report(run))
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a ledger whose rows are kept."""
    folder = tmp_path_factory.mktemp("recorded")
    ledger = Ledger(folder / "ledger.sqlite", audit="one", input_shape=SHAPE, num_classes=CLASSES)
    ledger.note(threads=1, keep="all")
    rng = torch.Generator().manual_seed(0)
    for position in (0, 4):
        inputs = torch.rand(4, *SHAPE, generator=rng)
        batch = ledger.reserve(
            account="attack", position=position, digests=row_digests(inputs),
            kept=pack(inputs, None),
        )  # fmt: skip
        ledger.settle(batch, torch.rand(4, CLASSES, generator=rng).softmax(1))
    ledger.record_files({"inputs.bin": digest_of((folder / "inputs.bin").read_bytes())})
    ledger.close()
    return folder


@fuzz
@given(st.sampled_from(["ledger.sqlite", "inputs.bin", "ledger.sqlite-wal"]), st.data())
def test_a_ledger(recorded: Path, tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = fresh_copy(recorded, tmp_path / "run") / name
    path.write_bytes(data.draw(broken(path.read_bytes() if path.is_file() else b"")))
    holds_its_promise(lambda: verify(tmp_path / "run"))
    holds_its_promise(lambda: resumed(tmp_path / "run" / "ledger.sqlite"))


def test_the_seeds_are_accepted(run: Path, recorded: Path, tmp_path: Path) -> None:
    made = fresh_copy(run, tmp_path / "made")
    (made / "result.json").write_text(json.dumps(RESULT))
    (made / "transfer.json").write_text(TRANSFER.model_dump_json())
    (made / "samples.safetensors").write_bytes(save(sample_tensors(3)))
    (made / "search.safetensors").write_bytes(save(film_tensors(2)))
    report(made)
    copy = fresh_copy(recorded, tmp_path / "run")
    assert verify(copy).faults == ()
    resumed(copy / "ledger.sqlite")


def resumed(path: Path) -> None:
    with closing(Ledger(path, audit="one", input_shape=SHAPE, num_classes=CLASSES)) as ledger:
        ledger.totals("attack")
        ledger.verify()
