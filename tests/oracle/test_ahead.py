"""A victim of this process may be asked before its rows are charged, and nobody sees that."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.oracle import Oracle
from clonecost.oracle.ahead import OwnRandomness, hashing_threads
from clonecost.oracle.hash_chain import DIGEST_BYTES, array_digests
from clonecost.oracle.ledger import Ledger
from clonecost.types import ThreatModel

SHAPE, CLASSES = (1, 24, 24), 3  # a row of 2,304 bytes, which other threads may hash beside it
THREAT = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=40)


def opened(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)


def flat(inputs: Tensor) -> Tensor:
    return torch.full((len(inputs), CLASSES), 1 / CLASSES)


def test_it_is_asked_before_the_charge_and_answers_as_otherwise(tmp_path: Path) -> None:
    charged: list[int] = []

    def victim(inputs: Tensor) -> Tensor:
        totals = ledger.totals("attack")
        charged.append(totals.settled + totals.reserved)
        return torch.rand(len(inputs), CLASSES).softmax(1)

    answers = []
    for ahead in (False, True):
        (tmp_path / str(ahead)).mkdir()
        ledger = opened(tmp_path / str(ahead))
        torch.manual_seed(0)
        oracle = Oracle(victim, THREAT, ledger, ahead=ahead)
        answers.append(torch.cat([oracle(torch.zeros(4, *SHAPE)) for _ in range(2)]))
        assert ledger.totals("attack").settled == 8
        ledger.close()
    assert charged == [4, 8, 0, 4]  # the second two before their own charge
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=0)


def test_rows_of_a_victim_that_fails_are_charged_and_lost(tmp_path: Path) -> None:
    def failing(inputs: Tensor) -> Tensor:
        raise ValueError("no memory")

    ledger = opened(tmp_path)
    with pytest.raises(VictimError, match="no memory"):
        Oracle(failing, THREAT, ledger, ahead=True)(torch.zeros(4, *SHAPE))
    assert ledger.lost == 4
    ledger.close()


def test_a_replay_asks_nothing(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    Oracle(flat, THREAT, ledger, ahead=True)(torch.zeros(4, *SHAPE))

    def never(inputs: Tensor) -> Tensor:
        raise AssertionError

    oracle = Oracle(never, THREAT, ledger, ahead=True)
    assert oracle(torch.zeros(4, *SHAPE)).shape == (4, CLASSES)
    ledger.close()


def test_digests_are_the_same_by_any_number_of_threads() -> None:
    rows = np.random.default_rng(0).random((7, *SHAPE), dtype=np.float32)
    alone = array_digests(rows)
    assert len(alone) == 7 * DIGEST_BYTES
    assert all(array_digests(rows, threads) == alone for threads in (2, 3, 7, 20))
    assert array_digests(rows[2:3]) == alone[2 * DIGEST_BYTES : 3 * DIGEST_BYTES]


def test_the_processor_hashes_alone_where_it_computes() -> None:
    assert hashing_threads(torch.device("cpu")) == 1
    assert hashing_threads(torch.device("cuda")) >= 1


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
