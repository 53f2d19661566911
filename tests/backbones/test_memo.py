"""Features are made once while they are kept, and are those of the very same pixels and weights."""

import pickle
from copy import deepcopy

import torch
from torch import Tensor, nn

from clonecost.backbones.backbone import Backbone, Encoder
from clonecost.backbones.memo import FeatureMemo

SHAPE = (3, 4, 4)


class Counted(nn.Module):
    """Sums of the channels, by a weight; counts its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.ones(())), [0]

    def forward(self, x: Tensor) -> Tensor:
        self.seen[0] += len(x)
        return self.weight * x.sum((2, 3))


def backbone() -> tuple[Backbone, list[int]]:
    network = Counted()
    encoder = Encoder(network, SHAPE, "none")
    encoder.memo = FeatureMemo()
    return Backbone("counted", encoder, features=3, weights=""), network.seen


def counted(encoder: nn.Module) -> Counted:
    assert isinstance(encoder.network, Counted)
    return encoder.network


def test_copies_of_a_frozen_backbone_make_the_features_of_a_batch_once() -> None:
    made, seen = backbone()
    pixels = torch.rand(5, *SHAPE)
    first = made(pixels)
    clone = deepcopy(made.as_module(frozen=True))
    with torch.no_grad():
        assert torch.equal(clone(pixels), first)
        assert seen == [5]
        clone(pixels + 1)
    assert counted(clone).seen == [10]  # copied at 5, and 5 other pictures since


def test_other_weights_and_gradients_make_features_anew() -> None:
    made, _ = backbone()
    pixels = torch.rand(2, *SHAPE)
    first = made(pixels)
    clone = made.as_module(frozen=True)
    clone.load_state_dict({**clone.state_dict(), "network.weight": torch.tensor(2.0)})
    with torch.no_grad():
        assert torch.equal(clone(pixels), 2 * first)
        trained = made.as_module()
        counted(trained).weight.mul_(3)
        assert torch.equal(trained.eval()(pixels), 3 * first)
    assert made.as_module(frozen=True)(pixels.requires_grad_()).requires_grad


def test_the_oldest_features_make_room_for_new_ones() -> None:
    memo = FeatureMemo(most=2 * 4 * 3)
    made: list[float] = []

    def make(x: Tensor) -> Tensor:
        made.append(float(x[0, 0]))
        return x.clone()

    batches = [torch.full((1, 3), float(k)) for k in range(3)]
    for batch in [*batches, batches[2], batches[0]]:
        memo.features(batch, make)
    assert made == [0, 1, 2, 0]


def test_a_copy_in_another_process_begins_empty() -> None:
    memo = pickle.loads(pickle.dumps(FeatureMemo(most=12)))
    made = torch.ones(1, 3)
    assert memo.features(torch.zeros(1, 3), lambda _: made) is made
