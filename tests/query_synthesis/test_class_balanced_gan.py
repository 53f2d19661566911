import math

import pytest
import torch
from torch import nn

from clonecost.networks.dcgan import DcganDiscriminator, DcganGenerator
from clonecost.query_synthesis.class_balanced_gan import DivGan
from clonecost.training.class_balance import imbalance
from clonecost.training.rand_augment import rand_augment
from clonecost.types import LabelledInputs

SHAPE = (1, 8, 8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_imbalance_is_the_negative_entropy_of_the_batch_mean() -> None:
    logits = torch.tensor([[3.0, 0.0, -1.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    mean = logits.softmax(1).mean(0)
    assert imbalance(logits).item() == pytest.approx((mean * mean.log()).sum().item(), abs=1e-4)
    even = 1_000 * torch.eye(5)  # confident rows, balanced classes
    assert imbalance(even).item() == pytest.approx(-math.log(5), abs=1e-3)
    one = torch.zeros(5, 5).index_fill_(1, torch.tensor([2]), 1_000.0).requires_grad_()
    value = imbalance(one)
    assert value.item() == pytest.approx(0, abs=1e-4)
    value.backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_a_step_changes_g_and_d_but_not_the_clone() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = DcganGenerator(SHAPE, 4), DcganDiscriminator(SHAPE, 4)
        clone = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    data = LabelledInputs(
        torch.randint(256, (21, *SHAPE), generator=rng(), dtype=torch.uint8),
        torch.zeros(21, dtype=torch.int64),
    )
    gan = DivGan(*networks, data, batch_size=8, lr=1e-3, rng=rng(1))
    assert gan.epoch == 2
    before = [[p.clone() for p in n.parameters()] for n in (*networks, clone)]
    x = gan.images()
    assert x.shape == (8, *SHAPE)
    assert 0 <= x.min() <= x.max() <= 1
    gan.learn(x, clone, 10.0)
    moved = [
        any(not torch.equal(a, b) for a, b in zip(old, n.parameters(), strict=True))
        for old, n in zip(before, (*networks, clone), strict=True)
    ]
    assert moved == [True, True, False]
    assert all(p.grad is None for p in clone.parameters())
    assert gan.sample(13).shape == (13, *SHAPE)
    assert gan.sample(13).dtype == torch.uint8


def test_the_class_balance_spreads_the_images_over_the_classes() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = DcganGenerator(SHAPE, 8), DcganDiscriminator(SHAPE, 8)
        linear = nn.Linear(64, 4)
        clone = nn.Sequential(nn.Flatten(), linear).eval()
    with torch.no_grad():
        linear.bias[0] += 2.0  # at first nearly every image is of class 0
    data = LabelledInputs(torch.rand(64, *SHAPE, generator=rng()), torch.zeros(64).long())
    gan = DivGan(*networks, data, batch_size=32, lr=1e-3, rng=rng(1))
    first = imbalance(clone(gan.images())).item()
    for _ in range(60):
        gan.learn(gan.images(), clone, 50.0)
    assert imbalance(clone(gan.images())).item() < first - 0.1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_augmented_images_stay_in_range_and_differ_row_by_row(shape: tuple[int, ...]) -> None:
    same = torch.rand(1, *shape, generator=rng()).expand(64, *shape)
    made = rand_augment(same, rng(1))
    assert made.shape == same.shape
    assert made.dtype == torch.float32
    assert 0 <= made.min() <= made.max() <= 1
    assert len(made.flatten(1).unique(dim=0)) > 40
    assert torch.equal(made, rand_augment(same, rng(1)))
    flat = rand_augment(torch.zeros(64, *shape), rng(2))  # no contrast to stretch
    assert flat.isfinite().all()
