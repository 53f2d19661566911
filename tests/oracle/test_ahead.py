"""Rows of a victim in this process: charged ahead by their number, recorded several at once."""

import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clonecost.errors import CloneCostError, LedgerError, VictimError
from clonecost.oracle import Oracle
from clonecost.oracle.ahead import OwnRandomness, hashing_threads, leave
from clonecost.oracle.hash_chain import DIGEST_BYTES, array_digests
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import OraclePosition
from clonecost.oracle.record import Record
from clonecost.types import ThreatModel

SHAPE, CLASSES = (1, 24, 24), 3  # a row of 2,304 bytes, which other threads may hash beside it
THREAT = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=40)


def opened(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)


def flat(inputs: Tensor) -> Tensor:
    return torch.full((len(inputs), CLASSES), 1 / CLASSES)


def noisy(inputs: Tensor) -> Tensor:
    return (inputs.flatten(1)[:, :CLASSES] + torch.rand(len(inputs), CLASSES)).softmax(1)


def rows_of(number: int) -> Tensor:
    return torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(number))


def test_answers_and_record_are_those_of_a_batch_at_a_time(tmp_path: Path) -> None:
    kept = []
    for ahead in (False, True):
        (tmp_path / str(ahead)).mkdir()
        torch.manual_seed(0)
        ledger = opened(tmp_path / str(ahead))
        oracle = Oracle(noisy, THREAT, ledger, ahead=ahead, keep=True)
        answers = torch.cat([oracle(rows_of(number)) for number in range(10)])
        OraclePosition(oracle).settle()
        inputs, recorded = ledger.bought()
        assert ledger.totals("attack").settled == 40
        assert ledger.totals("attack").reserved == 0
        assert ledger.verify() == []
        assert torch.equal(answers, recorded)
        kept.append((ledger.recorded("attack", 0, 40), inputs))
        ledger.close()
    (plain, inputs), (later, same) = kept
    assert plain is not None
    assert later is not None
    assert plain.digests == later.digests
    assert torch.equal(plain.answers, later.answers)
    assert torch.equal(inputs, same)


def test_a_kill_at_any_moment_never_counts_too_few_rows(tmp_path: Path) -> None:
    """A copy of the folder is what a dead process leaves."""
    live, asked = tmp_path / "live", 0
    live.mkdir()

    def victim(inputs: Tensor) -> Tensor:
        nonlocal asked
        asked += len(inputs)
        shutil.copytree(live, tmp_path / str(asked), ignore=shutil.ignore_patterns("*.lock"))
        with closing(Record.read(tmp_path / str(asked) / "ledger.sqlite")) as record:
            totals = record.totals("attack")
            assert totals.settled + totals.reserved >= asked  # for a reader, too
        return flat(inputs)

    budget = 4_000
    ledger = opened(live)
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget)
    oracle = Oracle(victim, threat, ledger, ahead=True, keep=True)
    commits = 0
    for number in range(25):
        before = ledger.head
        oracle(rows_of(number))
        commits += ledger.head != before
    assert commits < 25 / 5  # a hundredth of the budget is ten batches
    OraclePosition(oracle).settle()
    ledger.close()
    for rows in range(4, 101, 4):
        with closing(opened(tmp_path / str(rows))) as left:
            totals = left.totals("attack")
            assert rows <= totals.paid <= rows + budget // 100
            assert totals.reserved == 0
            assert left.lost == totals.lost
            assert left.verify() == []
            again = Oracle(flat, threat, left, ahead=True, keep=True)
            for number in range(25):
                again(rows_of(number))
            OraclePosition(again).settle()
            assert left.totals("attack").settled == 100
            assert left.verify() == []
    with closing(opened(live)) as whole:
        assert whole.totals("attack").paid == 100


def test_an_allowance_that_no_run_wrote_is_no_number_or_refused(tmp_path: Path) -> None:
    for noted in ("many", "-4", "9" * 5_000):
        with closing(opened(tmp_path)) as ledger:
            ledger.note(allowed=noted)
            assert ledger.totals("attack").reserved == 0
    with closing(opened(tmp_path)) as ledger:
        ledger.note(allowed=10**12)
    with pytest.raises(LedgerError, match="no run allows so many rows at once"):
        opened(tmp_path)


def test_a_small_budget_is_charged_batch_by_batch(tmp_path: Path) -> None:
    charged: list[int] = []

    def victim(inputs: Tensor) -> Tensor:
        totals = ledger.totals("attack")
        charged.append(totals.settled + totals.reserved)
        return flat(inputs)

    ledger = opened(tmp_path)
    oracle = Oracle(victim, THREAT, ledger, ahead=True)
    for number in range(3):
        oracle(rows_of(number))
    assert charged == [4, 8, 12]
    ledger.close()


def test_rows_of_a_victim_that_fails_are_charged_and_lost(tmp_path: Path) -> None:
    def failing(inputs: Tensor) -> Tensor:
        if asked:
            raise ValueError("no memory")
        asked.append(inputs)
        return flat(inputs)

    asked: list[Tensor] = []
    ledger = opened(tmp_path)
    oracle = Oracle(failing, THREAT, ledger, ahead=True)
    oracle(rows_of(0))
    with pytest.raises(VictimError, match="no memory"):
        oracle(rows_of(1))
    OraclePosition(oracle).settle()
    assert ledger.lost == 4
    assert ledger.totals("attack").settled == 4
    ledger.close()


@pytest.mark.parametrize(("inputs", "answer", "words"), [
    (torch.nan, 1 / CLASSES, "networks diverged; the rows were sent and count as lost"),
    (1.5, 1 / CLASSES, "out of range; the rows were sent"),
    (0.0, torch.nan, "answered NaN or infinity for 4 of 4 rows"),
    (0.0, 0.5, "differ from a sum of 1 by up to 0.5"),
])  # fmt: skip
def test_rows_and_answers_are_judged_afterwards(
    tmp_path: Path, inputs: float, answer: float, words: str
) -> None:
    ledger = opened(tmp_path)
    oracle = Oracle(
        lambda rows: torch.full((len(rows), CLASSES), answer), THREAT, ledger, ahead=True
    )
    with pytest.raises(CloneCostError, match=words):
        oracle(torch.full((4, *SHAPE), inputs))
    OraclePosition(oracle).settle()
    assert ledger.lost == 4
    assert ledger.totals("attack").paid == 4
    ledger.close()


def test_a_replay_asks_nothing(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    first = Oracle(flat, THREAT, ledger, ahead=True)
    first(torch.zeros(4, *SHAPE))
    assert OraclePosition(first).state_dict()["spent"] == 4  # a snapshot records first
    assert ledger.totals("attack").settled == 4

    def never(inputs: Tensor) -> Tensor:
        raise AssertionError

    oracle = Oracle(never, THREAT, ledger, ahead=True)
    assert oracle(torch.zeros(4, *SHAPE)).shape == (4, CLASSES)
    ledger.close()


def test_what_leaves_the_device_is_a_copy() -> None:
    value = torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    (copy,), event = leave(value)
    value += 1
    assert event is None
    assert copy.is_contiguous()
    assert not copy.any()


def test_digests_are_the_same_by_any_number_of_threads() -> None:
    rows = np.random.default_rng(0).random((7, *SHAPE), dtype=np.float32)
    alone = array_digests(rows)
    assert len(alone) == 7 * DIGEST_BYTES
    assert all(array_digests(rows, threads) == alone for threads in (2, 3, 7, 20))
    assert array_digests(rows[2:3]) == alone[2 * DIGEST_BYTES : 3 * DIGEST_BYTES]


def test_the_processor_hashes_alone_where_it_computes() -> None:
    assert hashing_threads(on_gpu=False) == 1
    assert hashing_threads(on_gpu=True) >= 1


def test_the_victims_random_numbers_are_not_the_attacks() -> None:
    torch.manual_seed(1)
    own, cpu = OwnRandomness(), torch.device("cpu")
    first = torch.rand(1)
    with own.of(cpu):
        assert torch.equal(torch.rand(1), first)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), first)
    second = torch.rand(1)
    with own.of(cpu):
        assert torch.equal(torch.rand(1), second)
