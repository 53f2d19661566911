import torch

from clonecost.traffic import SAMPLES, TrafficLog


def test_samples_are_spread_over_the_budget_and_do_not_hold_their_batches() -> None:
    """Views would: 32 batches of a generator's images are hundreds of megabytes."""
    log = TrafficLog(budget=64 * SAMPLES, num_classes=3)
    for start in range(0, 64 * SAMPLES, 128):
        log(start, torch.rand(128, 1, 4, 4), torch.rand(128, 3).softmax(1))
    assert log.samples()["positions"].tolist() == list(range(0, 64 * SAMPLES, 64))
    held = sum(t.untyped_storage().nbytes() for _, *pair in log._samples for t in pair)
    assert held == SAMPLES * 4 * (16 + 3)
