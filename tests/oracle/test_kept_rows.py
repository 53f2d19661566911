"""The inputs of bought rows are read from the run's files when they are asked for."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from tests.support.memory import at_most
from torch import Tensor

from clonecost.errors import LedgerError
from clonecost.monitoring.ledger_stream import attack_stream, in_memory
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.paid_rows import PaidRows
from clonecost.oracle.tensor_codec import pack, row_digests
from clonecost.types import as_pixels

SHAPE, ROWS, BATCHES = (3, 16, 16), 32, 24  # a batch of float32 has 98 KB


@dataclass
class Pool:
    """Pictures that are counted when they are read."""

    pictures: Tensor
    most: int = field(default=0)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pictures.shape)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        found = self.pictures[index]
        self.most = max(self.most, len(found))
        return found


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (100, *SHAPE), dtype=torch.uint8, generator=rng)


@pytest.fixture(scope="module")
def path(pictures: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of batches from the pool, of 8-bit images and of exact ones; a row is refused."""
    path = tmp_path_factory.mktemp("kept") / "ledger.sqlite"
    rng = torch.Generator().manual_seed(1)
    with closing(Ledger(path, audit="one", input_shape=SHAPE, num_classes=3)) as ledger:
        for number in range(BATCHES):
            index = torch.randint(len(pictures), (ROWS,), generator=rng)
            inputs, drawn = as_pixels(pictures[index]), index if number % 3 == 0 else None
            if number % 3 == 2:
                inputs = inputs * 0.999
            answers = torch.rand(ROWS, 3, generator=rng)
            answers[5] = 0.0 if number == 1 else answers[5]
            batch = ledger.reserve(
                account="attack", position=number * ROWS, digests=row_digests(inputs),
                kept=pack(inputs, drawn),
            )  # fmt: skip
            ledger.settle(batch, answers)
    return path


@pytest.fixture
def paid(path: Path) -> Iterator[PaidRows]:
    with closing(PaidRows.read(path)) as ledger:
        yield ledger


def test_rows_of_all_forms_are_read_in_any_order(paid: PaidRows, pictures: Tensor) -> None:
    whole, _ = paid.bought(pictures)
    rows, answers = paid.bought_rows(pictures)
    assert (len(rows), rows.shape) == (ROWS * BATCHES - 1, (ROWS * BATCHES - 1, *SHAPE))
    assert len(answers) == len(rows)
    assert whole.dtype == torch.float32
    index = torch.randperm(len(rows), generator=torch.Generator().manual_seed(2))
    assert torch.equal(rows[index], whole[index])
    assert torch.equal(rows[40:45], whole[40:45])
    sent = paid.sent_rows(pictures)
    assert sent is not None
    assert torch.equal(torch.cat([sent[:37], sent[38:]]), whole)  # row 37 was refused
    with pytest.raises(IndexError):
        sent[torch.tensor([ROWS * BATCHES])]


def test_memory_holds_a_batch_at_a_time(paid: PaidRows, pictures: Tensor) -> None:
    pool = Pool(pictures)
    rows, _ = paid.bought_rows(pool)
    assert pool.most == ROWS  # the comparison with what was sent
    sent = paid.sent_rows(pool)
    assert sent is not None
    sent[:8]
    with at_most(200_000):  # all rows take 2.4 MB
        for index in torch.arange(len(rows)).split(8):
            rows[index]
    assert pool.most == ROWS


def test_a_watched_stream_reads_the_rows_that_are_taken(paid: PaidRows, pictures: Tensor) -> None:
    stream = attack_stream(paid, "probs", pictures)
    with at_most(400_000):
        part = stream.take(slice(100, 120))
    sent = paid.sent_rows(pictures)
    assert sent is not None
    assert torch.equal(torch.from_numpy(part.pixels()), sent[100:120])
    assert len(in_memory(stream)) == len(stream) == ROWS * BATCHES


def test_a_shortened_file_and_a_missing_pool_are_named(path: Path, pictures: Tensor) -> None:
    with closing(PaidRows.read(path)) as ledger:
        with pytest.raises(LedgerError, match="proxy data set"):
            ledger.sent_rows(None)
        rows, _ = ledger.bought_rows(pictures)
    kept = path.with_name("inputs.bin")
    content = kept.read_bytes()
    kept.write_bytes(content[:-1])
    try:
        with pytest.raises(LedgerError, match="is truncated: kept inputs from byte"):
            rows[-1:]
    finally:
        kept.write_bytes(content)
