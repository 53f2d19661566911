"""`clonecost export`: a copy that is whole, whatever the run does meanwhile."""

import multiprocessing
import os
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tests.support.cli_runs import run as command
from tests.support.toys import CLASSES, SHAPE, MakeAudit

from clonecost.audit import run_audit
from clonecost.errors import RunError
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.workflows.export import export
from clonecost.workflows.verify import verify

EXPORTS = 12
ours = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writer is a fork")


def write_on(folder: str) -> None:
    """Settle batches until killed, resuming now and then, as a run does."""
    torch.set_num_threads(1)
    position = 0
    while True:
        ledger = Ledger(
            Path(folder) / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
        )
        with closing(ledger):
            for _ in range(150):
                inputs = torch.rand(4, *SHAPE)
                batch = ledger.reserve(
                    account="attack", position=position, digests=row_digests(inputs),
                    kept=pack(inputs, None),
                )  # fmt: skip
                ledger.settle(batch, torch.rand(4, CLASSES).softmax(1))
                position += 4


@ours
def test_copies_while_a_writer_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    writer = multiprocessing.get_context("fork").Process(target=write_on, args=(str(run),))
    writer.start()
    try:
        while not (run / "inputs.bin").exists():
            time.sleep(0.01)
        rows = []
        for k in range(EXPORTS):
            made = export(run, tmp_path / f"copy{k}")
            assert not made.finished
            assert verify(tmp_path / f"copy{k}").faults == ()
            rows.append(made.rows)
        assert writer.is_alive()
    finally:
        writer.kill()
        writer.join()
    assert rows == sorted(rows)
    assert rows[-1] > rows[0]
    assert not list(tmp_path.glob("*.part"))
    for path in (tmp_path / "copy0").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_finished_run_is_copied_with_all_that_it_records(
    make_audit: MakeAudit, tmp_path: Path
) -> None:
    audit = make_audit()
    run_audit(audit)
    copy = tmp_path / "copy"
    said = command("export", audit.folder, copy)
    assert said.status == 0, said.err
    assert "finished" in said.out
    before, after = verify(audit.folder), verify(copy)
    assert after.faults == ()
    assert before.head == after.head
    for name in ("result.json", "clone.safetensors"):
        assert (copy / name).read_bytes() == (audit.folder / name).read_bytes()
    with pytest.raises(RunError, match="never replaces anything"):
        export(audit.folder, copy)


def test_an_altered_run_is_not_copied(make_audit: MakeAudit, tmp_path: Path) -> None:
    audit = make_audit()
    run_audit(audit)
    (audit.folder / "clone.safetensors").write_bytes(b"other")
    said = command("export", audit.folder, tmp_path / "copy")
    assert said.status == 2
    assert "clone.safetensors was altered" in said.err
    assert not (tmp_path / "copy").exists()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ["../evil", "/evil", "replays/../../evil", "linked"])
@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "chain:" + "0" * 64])
def test_a_recorded_name_never_leads_out_of_the_copy(
    name: str, digest: str, tmp_path: Path
) -> None:
    run, home = tmp_path / "bundle" / "run", tmp_path / "home"
    run.mkdir(parents=True)
    home.mkdir()
    (run.parent / "evil").write_text("theirs")
    (run / "linked").symlink_to(run.parent / "evil")
    with closing(
        Ledger(run / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)
    ) as ledger:
        ledger.record_files({name: digest})
    with pytest.raises(RunError, match="lies outside of it or is a link"):
        export(run, home / "copy")
    assert list(home.iterdir()) == []
