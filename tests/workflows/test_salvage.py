"""`clonecost salvage`: a ledger with damaged pages gives the answers on all others."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.cli_runs import run as command
from torch import Tensor

from clonecost.errors import LedgerError, RunError
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.workflows.salvage import SALVAGED, salvage

SHAPE, CLASSES, BATCHES, ROWS = (1, 2, 2), 50, 60, 8
PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor, Tensor]:
    """A run of 60 batches, a few on each page, with its inputs and answers."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    folder.mkdir()
    torch.manual_seed(0)
    inputs = torch.rand(BATCHES * ROWS, *SHAPE)
    answers = torch.rand(BATCHES * ROWS, CLASSES).softmax(1)
    path = folder / "ledger.sqlite"
    with closing(Ledger(path, audit="a", input_shape=SHAPE, num_classes=CLASSES)) as ledger:
        for k in range(BATCHES):
            cut = slice(k * ROWS, (k + 1) * ROWS)
            batch = ledger.reserve(
                account="attack" if k % 2 else "evaluation", position=k // 2 * ROWS,
                digests=row_digests(inputs[cut]), kept=pack(inputs[cut], None),
            )  # fmt: skip
            ledger.settle(batch, answers[cut])
    return folder, inputs, answers


def damaged(whole: Path, place: Path, *pages: int) -> Path:
    """A copy whose pages of these numbers are noise."""
    place.mkdir()
    content = bytearray((whole / "ledger.sqlite").read_bytes())
    for page in pages:
        content[page * PAGE : (page + 1) * PAGE] = np.random.default_rng(page).bytes(PAGE)
    (place / "ledger.sqlite").write_bytes(content)
    return place


def test_the_answers_of_sound_pages_are_read_and_the_others_counted(
    whole: tuple[Path, Tensor, Tensor], tmp_path: Path
) -> None:
    folder, inputs, answers = whole
    pages = (folder / "ledger.sqlite").stat().st_size // PAGE
    for number, page in enumerate(range(8, pages, 5)):
        run = damaged(folder, tmp_path / f"run{number}", page)
        made = salvage(run, tmp_path / f"out{number}")
        assert sum(made.rows.values()) + ROWS * made.unread == BATCHES * ROWS
        assert made.unread <= BATCHES // 4  # a page holds a few batches
        with np.load(tmp_path / f"out{number}" / SALVAGED) as found:
            order = found["position"] * 2 - found["position"] % ROWS
            order += np.where(found["account"] == "attack", ROWS, 0)
            assert np.array_equal(found["answers"], answers[order].numpy())
            assert found["digests"].tobytes() == row_digests(inputs[order])
            assert set(found["form"]) == {"float32"}
            assert np.array_equal(found["offset"], 16 * order)


def test_a_damaged_ledger_says_what_to_run(
    whole: tuple[Path, Tensor, Tensor], tmp_path: Path
) -> None:
    run = damaged(whole[0], tmp_path / "run", 12, 13)
    said = command("salvage", run)
    assert said.status == 0, said.err
    assert "rows of the account attack" in said.out
    assert "not verified" in said.err
    assert (tmp_path / "run-salvaged" / SALVAGED).is_file()
    with pytest.raises(RunError, match="exists"):
        salvage(run, tmp_path / "run-salvaged")


def test_where_nothing_can_be_read_one_sentence_says_so(
    whole: tuple[Path, Tensor, Tensor], tmp_path: Path
) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(LedgerError, match=r"is damaged.*salvage"):
        Ledger.read(tmp_path / "ledger.sqlite")
    for run in (tmp_path, damaged(whole[0], tmp_path / "run", 0)):
        with pytest.raises(LedgerError):
            salvage(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(LedgerError, match="not a run folder"):
        salvage(tmp_path / "absent", tmp_path / "out")
