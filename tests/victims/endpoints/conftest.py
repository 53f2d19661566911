"""Servers that last as long as a test, and the oracle of an audit in front of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.endpoint_servers import Server, serving
from tests.support.toy_endpoint import CLASSES, SHAPE, Counted, Start, scores_of

from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import ThreatModel
from clonecost.victims import LoadedVictim


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def make(**how: Any) -> Server:
            chosen = {"model": scores_of, "shape": list(SHAPE), "classes": CLASSES, **how}
            return stack.enter_context(serving(Server(**chosen)))

        yield make


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that a test can wait for."""
    monkeypatch.setattr("clonecost.victims.endpoints.sending.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("clonecost.victims.endpoints.sending.LONGEST_PAUSE", 0.02)


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    """A victim behind an oracle, as an audit asks it; opened again it goes on."""
    opened: list[Ledger] = []

    def make(victim: LoadedVictim, budget: int = 100, max_lost: int | None = None) -> Oracle:
        for ledger in opened:
            ledger.close()
        threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget)
        opened.append(Ledger(
            tmp_path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
        ))  # fmt: skip
        return Oracle(
            victim.answer,
            threat,
            opened[-1],
            rows_in_flight=victim.rows_in_flight,
            max_lost=max_lost,
        )

    yield make
    for ledger in opened:
        ledger.close()
