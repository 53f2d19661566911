"""Rows that an endpoint refuses for good: found, paid once, and left out by who can go on."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.endpoint_servers import RefusalError, Server, serving
from tests.support.ledgers import booked
from tests.support.toy_endpoint import CLASSES, SHAPE, Counted, Start, reach, rows, scores_of
from torch import Tensor

from clonecost.errors import LostRowsError, VictimError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import ThreatModel, answered
from clonecost.victims import LoadedVictim

WORDS = "is no picture of clothes"


def picky(bad: set[int], status: int, count: int = 40) -> Callable[[Tensor], Tensor]:
    """A model that refuses requests with certain ones of `rows(count)`."""
    refused = rows(count)[sorted(bad)]

    def model(inputs: Tensor) -> Tensor:
        if any(torch.equal(row, one) for row in inputs for one in refused):
            raise RefusalError(status, f"one of {len(inputs)} rows {WORDS}")
        return scores_of(inputs)

    return model


def skipping(victim: LoadedVictim, ledger: Ledger, told: list[str]) -> Oracle:
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=100)
    return Oracle(
        victim.answer, threat, ledger, rows_in_flight=victim.rows_in_flight, skips_refused=True,
        notice=told.append,
    )  # fmt: skip


@settings(max_examples=5)
@given(bad=st.sets(st.integers(0, 39), min_size=1, max_size=4), batch=st.integers(1, 16),
       concurrency=st.integers(1, 4), status=st.sampled_from([400, 409, 422]))  # fmt: skip
def test_refused_rows_are_found_paid_and_never_sent_again_and_all_others_are_answered(
    bad: set[int], batch: int, concurrency: int, status: int
) -> None:
    if bad >= {0, 1, 2}:  # an endpoint that has answered nothing may refuse every row
        bad = bad - {2}
    server, told = Server(picky(bad, status), list(SHAPE), CLASSES), list[str]()
    with serving(server), TemporaryDirectory() as folder, contextlib.closing(Ledger(
        Path(folder) / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
    )) as ledger:  # fmt: skip
        victim = reach(server, settings={"batch_size": batch, "concurrency": concurrency})
        oracle = skipping(victim, ledger, told)
        if batch * concurrency == 1 and 0 in bad:
            with pytest.raises(VictimError, match=WORDS):  # the only row of the first call
                oracle(rows(40))
            return
        answers = oracle(rows(40))
        good = [row for row in range(40) if row not in bad]
        assert (~answered(answers)).nonzero().flatten().tolist() == sorted(bad)
        torch.testing.assert_close(answers[good], scores_of(rows(40))[good])
        totals = ledger.totals("attack")
        assert (totals.settled, totals.refused, totals.lost) == (40, len(bad), 0)
        assert server.rows == 40 - len(bad)
        assert oracle.spent == 40
        assert ledger.verify() == []
        assert len(told) == 1
        assert WORDS in told[0]
        before = len(server.requests)
        again = skipping(victim, ledger, told)
        assert torch.equal(again(rows(40)), answers)
        assert len(server.requests) == before
        assert len(told) == 1


def test_who_needs_every_answer_stops_and_the_row_is_not_sent_again(
    start: Start, counted: Counted, tmp_path: Path
) -> None:
    server = start(model=picky({13}, 422))
    victim = reach(server)
    for _ in range(2):
        oracle = counted(victim)
        with pytest.raises(VictimError, match=r"refuses row 13 of the queries.*422.*no picture"):
            oracle(rows(40))
        assert booked(tmp_path).settled == server.rows + 1 == 16  # two requests of the 5 chunks
        assert booked(tmp_path).lost == 0


def test_a_row_that_is_too_large_on_its_own_is_a_refused_row(start: Start, tmp_path: Path) -> None:
    server = start(model=picky({5}, 413, count=8))
    with contextlib.closing(Ledger(
        tmp_path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
    )) as ledger:  # fmt: skip
        oracle = skipping(reach(server, settings={"batch_size": 1}), ledger, [])
        assert answered(oracle(rows(8))).sum() == 7


def test_an_endpoint_that_refuses_every_row_is_asked_a_few(
    start: Start, counted: Counted, tmp_path: Path
) -> None:
    server = start(scenes=[("status", 422, {}, "no key")] * 999)
    victim = reach(server, settings={"batch_size": 16})
    with pytest.raises(VictimError, match=r"answered 422.*no key"):
        counted(victim)(rows(90))
    assert len(server.requests) < 20
    assert booked(tmp_path).settled == booked(tmp_path).lost == 0


def test_an_endpoint_that_begins_to_refuse_every_row_is_asked_a_few(
    start: Start, tmp_path: Path
) -> None:
    server = start()
    victim = reach(server, settings={"batch_size": 16})
    with contextlib.closing(Ledger(
        tmp_path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
    )) as ledger:  # fmt: skip
        oracle = skipping(victim, ledger, [])
        oracle(rows(32))
        before = len(server.requests)
        server.scenes += [("status", 422, {}, "no key")] * 999
        with pytest.raises(VictimError, match=r"has refused 20 rows one by one, .*without an ans"):
            oracle(rows(64))
        assert len(server.requests) - before < 60


def test_refused_rows_count_towards_the_limit_of_lost_rows(start: Start, tmp_path: Path) -> None:
    server = start(model=picky(set(range(1, 40, 2)), 422))
    victim = reach(server)
    with contextlib.closing(Ledger(
        tmp_path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
    )) as ledger:  # fmt: skip
        threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=100)
        oracle = Oracle(victim.answer, threat, ledger, max_lost=6, skips_refused=True)
        with pytest.raises(LostRowsError, match=r"limit of lost rows \(6\).*refuses rows.*no pict"):
            oracle(rows(40))
        assert ledger.refused == 6


@pytest.mark.parametrize("kind", ["label", "probs"])
def test_refusals_stand_in_the_ledger_and_an_edit_of_them_is_found(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.sqlite"
    answers = torch.eye(CLASSES)[[0, 2, 5]]
    answers[1] = 0
    with contextlib.closing(
        Ledger(path, audit="a", input_shape=(2,), num_classes=CLASSES)
    ) as ledger:
        batch = ledger.reserve(account="attack", position=0, digests=bytes(3 * 16))
        ledger.settle(batch, answers, labels_only=kind == "label", refused=1, reason="422: no")
        found = ledger.recorded("attack", 0, 3)
        assert found is not None
        assert torch.equal(found.answers, answers)
        assert ledger.first_refusal("attack") == "422: no"
        assert ledger.verify() == []
    for column, value in (("refused", 0), ("reason", "500: oops")):
        with contextlib.closing(sqlite3.connect(path)) as db:
            (old,) = db.execute(f"SELECT {column} FROM batches").fetchone()
            db.execute(f"UPDATE batches SET {column} = ?", (value,))
            db.commit()
        assert "altered" in " ".join(booked(tmp_path).faults)
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute(f"UPDATE batches SET {column} = ?", (old,))
            db.commit()
    assert booked(tmp_path).faults == []
