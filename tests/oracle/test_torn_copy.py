"""A folder that was copied by hand while its run went on may lack the end of `inputs.bin`."""

from contextlib import closing
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.run_folders import fresh_copy

from clonecost.errors import LedgerError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import pack
from clonecost.types import ThreatModel

SHAPE, CLASSES, ROWS, BATCHES = (1, 4, 4), 3, 5, 6
THREAT = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=ROWS * BATCHES)


def opened(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)


def batches() -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    exact = [torch.rand(ROWS, *SHAPE, generator=rng) for _ in range(BATCHES - 2)]
    eight_bit = torch.randint(256, (2, ROWS, *SHAPE), generator=rng, dtype=torch.uint8) / 255
    return [exact[0], eight_bit[0], *exact[1:], eight_bit[1]]


def run(folder: Path, count: int = BATCHES, in_flight: int | None = None) -> int:
    """Ask the first batches; the rows that reached the victim."""
    asked = 0

    def victim(inputs: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += len(inputs)
        return inputs.flatten(1)[:, :CLASSES].softmax(1)

    with closing(opened(folder)) as ledger:
        oracle = Oracle(victim, THREAT, ledger, keep=True, rows_in_flight=in_flight)
        for inputs in batches()[:count]:
            oracle(inputs)
    return asked


@pytest.fixture(scope="module", params=[None, 2])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    folder.mkdir()
    run(folder, in_flight=request.param)
    return folder


@given(st.data())
@settings(max_examples=25)
def test_resume_restores_missing_inputs_without_a_question(
    whole: Path, tmp_path: Path, data: st.DataObject
) -> None:
    torn = fresh_copy(whole, tmp_path / "torn")
    inputs = torn / "inputs.bin"
    content = inputs.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    inputs.write_bytes(content[:cut])
    if not cut and data.draw(st.booleans()):
        inputs.unlink()
    with closing(Ledger.read(torn / "ledger.sqlite")) as ledger:
        assert "inputs.bin" in ledger.verify()[0]
        assert ledger.rows_without_inputs()
    assert run(torn) == 0
    assert inputs.read_bytes() == content
    with closing(opened(torn)) as ledger:
        assert ledger.verify() == []
        assert torch.equal(ledger.bought()[0], torch.cat(batches()))


def test_inputs_that_cannot_be_restored_are_named_before_anything_is_sent(
    whole: Path, tmp_path: Path
) -> None:
    torn = fresh_copy(whole, tmp_path / "torn")
    (torn / "inputs.bin").write_bytes((torn / "inputs.bin").read_bytes()[:-1])
    more = torch.rand(ROWS, *SHAPE)
    with closing(opened(torn)) as ledger:
        assert ledger.torn
        with pytest.raises(LedgerError, match=r"lacks the inputs of \d rows .* from row 2[5-9]"):
            ledger.reserve(account="attack", position=99, digests=bytes(80), kept=pack(more, None))
        assert ledger.totals("attack").reserved == 0
