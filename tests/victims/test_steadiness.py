"""A victim that is random, or looks at the rest of its batch, is found before the audit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toys import CLASSES as TOY_CLASSES
from tests.support.toys import MakeAudit
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.audit import run_audit
from clonecost.errors import VictimError
from clonecost.types import PredictionApi
from clonecost.victims import load_victim
from clonecost.victims.loaded_victim import LoadedVictim, as_loaded
from clonecost.victims.steadiness import STEADY, steadiness

SHAPE, CLASSES = (1, 4, 4), 3
API = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)


class Odd(nn.Module):
    """A linear classifier after a step that a training mode would have."""

    def __init__(self, seed: int, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(16, CLASSES, generator=rng))
        self.step = step

    def forward(self, inputs: Tensor) -> Tensor:
        return self.step(inputs.flatten(1)) @ self.weight


def loaded(seed: int, step: Callable[[Tensor], Tensor]) -> LoadedVictim:
    return as_loaded(Odd(seed, step), device=torch.device("cpu"), api=API, white_box=False)


seeds = given(seed=st.integers(0, 10**6))


@seeds
@settings(max_examples=20)
def test_a_function_of_its_row_is_steady(seed: int) -> None:
    state = torch.get_rng_state()
    assert steadiness(loaded(seed, lambda x: x), SHAPE) == STEADY
    assert steadiness(loaded(seed, lambda x: F.layer_norm(x, x.shape[1:])), SHAPE) == STEADY
    assert torch.equal(torch.get_rng_state(), state)


@seeds
@settings(max_examples=20)
def test_dropout_that_is_on_is_found_and_changes_no_random_state(seed: int) -> None:
    state = torch.get_rng_state()
    found = steadiness(loaded(seed, lambda x: F.dropout(x, 0.5, training=True)), SHAPE)
    assert found.random > 0.01
    assert torch.equal(torch.get_rng_state(), state)


@seeds
@settings(max_examples=20)
def test_statistics_of_the_batch_are_refused(seed: int) -> None:
    def normalised(x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.std(0, correction=0) + 0.1)

    with pytest.raises(VictimError, match="depend on the other rows of the batch: a probability"):
        steadiness(loaded(seed, normalised), SHAPE)
    with pytest.raises(VictimError, match=r"it fails on a single row .*in eval mode"):
        steadiness(loaded(seed, lambda x: F.batch_norm(x, None, None, training=True)), SHAPE)


def test_small_effects_of_the_batch_are_measured() -> None:
    found = steadiness(loaded(0, lambda x: x + x.mean(0) / 100), SHAPE)
    assert found.random == 0
    assert 1e-3 < found.batch < 0.05


def test_a_victim_whose_rows_may_cost_is_not_asked() -> None:
    def paid(inputs: Tensor) -> Tensor:
        raise AssertionError("a row that nobody counts")

    victim = as_loaded(paid, device=torch.device("cpu"), api=API, white_box=False)
    assert steadiness(victim, SHAPE) == STEADY


def test_the_case_is_found(cases: Path) -> None:
    shape = (1, 8, 8)
    victim = load_victim(f"{cases}/dropout.py:model", input_shape=shape, num_classes=10)
    assert steadiness(victim, shape).random > 0.1
    base = load_victim(f"{cases}/base.py:model", input_shape=shape, num_classes=10)
    assert steadiness(base, shape) == STEADY


def test_an_audit_flags_a_random_victim_and_refuses_one_of_its_batch(
    make_audit: MakeAudit, tmp_path: Path
) -> None:
    class Random(nn.Module):
        def __init__(self, training: bool) -> None:
            super().__init__()
            self.linear, self.random = nn.Linear(64, TOY_CLASSES), training

        def forward(self, inputs: Tensor) -> Tensor:
            rows = inputs.flatten(1)
            rows = F.dropout(rows, 0.5, training=True) if self.random else rows - rows.mean(0)
            return 20 * self.linear(rows)

    flags = [flag.code for flag in run_audit(make_audit(victim=Random(True))).flags]
    assert "random-victim" in flags
    refused = make_audit(victim=Random(False), out=tmp_path / "batch")
    with pytest.raises(VictimError, match="depend on the other rows of the batch"):
        run_audit(refused)
    assert not refused.folder.exists()


def test_generators_of_every_gpu_in_use_are_given_their_state_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[int]] = []

    @contextmanager
    def fork_rng(devices: list[int]) -> Iterator[None]:
        seen.append(devices)
        yield

    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    for used in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda used=used: used)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        steadiness(loaded(0, lambda inputs: inputs), SHAPE)
    assert {tuple(one) for one in seen[: len(seen) // 2]} == {()}
    assert {tuple(one) for one in seen[len(seen) // 2 :]} == {(0, 1)}
