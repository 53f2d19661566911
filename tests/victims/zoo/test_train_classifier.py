from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from clonecost.types import LabelledInputs
from clonecost.victims.zoo.catalogue import Training
from clonecost.victims.zoo.train_classifier import count_correct, train_classifier


def stripes(rows: int, seed: int) -> LabelledInputs:
    """Noise; class 1 has a bright left half."""
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 200, (rows, 1, 8, 8), generator=rng, dtype=torch.uint8)
    labels = torch.arange(rows) % 2
    inputs[labels == 1, :, :, :4] += 40
    return LabelledInputs(inputs, labels)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
@pytest.mark.parametrize("low_precision", [False, True])
def test_learns_and_keeps_the_best_epoch(
    schedule: Literal["cosine", "one-cycle"], low_precision: bool
) -> None:
    data, validation = stripes(512, 1), stripes(201, 2)
    training = Training(
        epochs=4,
        lr=0.05,
        batch_size=32,
        schedule=schedule,
        low_precision=low_precision,
    )
    model = small_network()
    calls: list[tuple[int, int]] = []
    trained = train_classifier(
        model, data, validation, training, rng=torch.Generator().manual_seed(0),
        progress=lambda _, done, total: calls.append((done, total)),
    )  # fmt: skip
    assert trained.validation_accuracy > 0.9
    accuracy = count_correct(model, validation, "cpu") / len(validation)
    assert accuracy == trained.validation_accuracy
    assert 1 <= trained.epoch <= 4
    assert calls[-1] == (64, 64)
    assert not model.training
    assert all(t.is_contiguous() for t in model.state_dict().values())


def test_the_same_seed_gives_the_same_weights() -> None:
    def weights(seed: int) -> Tensor:
        model = small_network()
        train_classifier(
            model, stripes(128, 1), stripes(32, 2),
            Training(epochs=2, lr=0.05, augment="crop+flip"),
            rng=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_last_single_row_is_left_out() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    train_classifier(  # BatchNorm refuses one row
        model, stripes(33, 1), stripes(8, 2), Training(epochs=1, lr=0.01, batch_size=32),
        rng=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert model[2].num_batches_tracked == 1


def test_the_number_of_threads_is_restored_after_training() -> None:
    before, seen = torch.get_num_threads(), set()
    other = before + 1
    train_classifier(
        small_network(), stripes(64, 1), stripes(8, 2),
        Training(epochs=1, lr=0.01, threads=other), rng=torch.Generator().manual_seed(0),
        progress=lambda *_: seen.add(torch.get_num_threads()),
    )  # fmt: skip
    assert seen == {other}
    assert torch.get_num_threads() == before


def test_correct_rows_are_counted() -> None:
    class Left(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[..., 4:].mean((1, 2, 3)), x[..., :4].mean((1, 2, 3)) - 0.09], 1)

    inputs = torch.zeros(1500, 1, 8, 8, dtype=torch.uint8)
    inputs[:1000, :, :, :4] = 255
    assert count_correct(Left(), LabelledInputs(inputs, torch.ones(1500).long()), "cpu") == 1000
