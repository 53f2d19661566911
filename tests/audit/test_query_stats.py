import math

import pytest
import torch
from torch import Tensor

from clonecost.audit.query_stats import SAMPLES, SPANS, TrafficLog

SHAPE = (1, 2, 2)


def watch(log: TrafficLog, answers: Tensor, cuts: list[int]) -> Tensor:
    """Show the log all rows in batches; row k is an image of brightness k / (n - 1)."""
    inputs = torch.linspace(0, 1, len(answers)).view(-1, 1, 1, 1).expand(-1, *SHAPE)
    position = 0
    for rows, given in zip(inputs.split(cuts), answers.split(cuts), strict=True):
        log(position, rows, given, "gradients" if position else "training")
        position += len(rows)
    return inputs


def test_sums_are_those_of_all_rows_whatever_the_batches() -> None:
    answers = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0.95, 0.05], [0.2, 0.2, 0.6]])
    found = []
    for cuts in ([4], [1, 3], [2, 2]):
        log = TrafficLog(4, 3)
        watch(log, answers, cuts)
        found.append(log.summary())
    for other in found[1:]:
        assert other.class_histogram == found[0].class_histogram
        assert other.mean_entropy == pytest.approx(found[0].mean_entropy)
    assert (found[0].rows, found[0].class_histogram) == (4, [2, 1, 1])
    assert found[0].confident == 0.5
    assert found[0].purposes == {"training": 4}
    assert found[1].purposes == {"training": 1, "gradients": 3}
    entropies = [
        0.0, math.log(2), -0.95 * math.log(0.95) - 0.05 * math.log(0.05),
        -0.4 * math.log(0.2) - 0.6 * math.log(0.6),
    ]  # fmt: skip
    assert found[0].mean_entropy == pytest.approx(sum(entropies) / 4, abs=1e-6)


def test_nothing_asked_is_a_summary_too() -> None:
    log = TrafficLog(10, 3)
    assert log.summary().model_dump() == {
        "rows": 0, "class_histogram": [0, 0, 0], "mean_entropy": 0, "confident": 0, "purposes": {},
        "characters": None, "over_time": [],
    }  # fmt: skip
    assert log.samples() == {}


@pytest.mark.parametrize("budget", [1, 5, SPANS, 100, 1_003])
@pytest.mark.parametrize("cut", [1, 7, 400])
def test_spans_add_up_to_the_whole_whatever_the_batches(budget: int, cut: int) -> None:
    answers = torch.randn(budget, 3).mul(3).softmax(1)
    log = TrafficLog(budget, 3)
    watch(log, answers, [min(cut, budget - at) for at in range(0, budget, cut)])
    whole = log.summary()
    assert len(whole.over_time) == min(budget, SPANS)
    at = 0
    for span in whole.over_time:
        part = answers[at : at + span.rows]
        assert span.first == at
        assert span.class_histogram == part.argmax(1).bincount(minlength=3).tolist()
        assert span.mean_entropy == pytest.approx(
            float(torch.special.entr(part).sum(1).mean()), abs=1e-5
        )
        at += span.rows
    assert at == whole.rows == budget
    lengths = [span.rows for span in whole.over_time]
    assert max(lengths) - min(lengths) <= 1
    assert whole.class_histogram == answers.argmax(1).bincount(minlength=3).tolist()


def test_an_attack_that_ends_early_leaves_a_shorter_last_span() -> None:
    log = TrafficLog(1_600, 3)
    watch(log, torch.rand(250, 3).softmax(1), [250])
    assert [(span.first, span.rows) for span in log.summary().over_time] == [
        (0, 100), (100, 100), (200, 50),
    ]  # fmt: skip


def test_a_sampled_row_that_teaches_nothing_gives_way_to_the_next_that_teaches() -> None:
    budget = 4 * SAMPLES
    log = TrafficLog(budget, 3)  # samples wanted at 0, 4, 8, ...
    inputs = torch.linspace(0, 1, budget).view(-1, 1, 1, 1).expand(-1, *SHAPE)
    answers = torch.rand(budget, 3).softmax(1)
    for start in range(0, budget, 8):  # six rows of gradients, which two teach after
        for part, purpose in ((slice(start, start + 6), "gradients"),
                              (slice(start + 6, start + 8), "training")):  # fmt: skip
            log(part.start, inputs[part], answers[part], purpose)  # type: ignore[arg-type]
    samples = log.samples()
    at = samples["positions"]
    assert at[:4].tolist() == [0, 6, 8, 14]  # two in one batch: the last one gives way
    assert torch.equal(samples["answers"], answers[at])
    assert torch.equal(samples["inputs"], inputs[at].mul(255).round().to(torch.uint8))


@pytest.mark.parametrize("budget", [1, 5, SAMPLES, 100, 1_000])
def test_samples_are_spread_evenly_and_are_what_was_sent(budget: int) -> None:
    answers = torch.rand(budget, 3).softmax(1)
    log = TrafficLog(budget, 3)
    inputs = watch(log, answers, [*([7] * (budget // 7)), *([budget % 7] if budget % 7 else [])])
    samples = log.samples()
    at = samples["positions"]
    assert len(at) == min(budget, SAMPLES)
    assert at.tolist() == sorted(set(at.tolist()))
    assert (at.diff() <= budget // SAMPLES + 1).all()
    assert samples["inputs"].dtype == torch.uint8
    assert torch.equal(samples["inputs"], inputs[at].mul(255).round().to(torch.uint8))
    assert torch.equal(samples["answers"], answers[at])


def test_an_attack_that_ends_early_leaves_fewer_samples() -> None:
    log = TrafficLog(1_000, 3)
    watch(log, torch.rand(500, 3).softmax(1), [500])
    assert len(log.samples()["positions"]) == SAMPLES // 2


def test_samples_do_not_hold_their_batches() -> None:
    """Views would: 32 batches of a generator's images are hundreds of megabytes."""
    log = TrafficLog(64 * SAMPLES, 3)
    for start in range(0, 64 * SAMPLES, 128):
        log(start, torch.rand(128, *SHAPE), torch.rand(128, 3).softmax(1), "training")
    samples = log.state_dict()["samples"]
    held = sum(t.untyped_storage().nbytes() for _, *pair in samples for t in pair)
    assert held == SAMPLES * 4 * (4 + 3)
