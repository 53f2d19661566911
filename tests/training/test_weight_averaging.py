import pytest
import torch
from torch import nn

from clonecost.training.weight_averaging import WeightAverages, per_class_agreement


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def test_averages_follow_the_recursion() -> None:
    decays = (0.5, 0.9, 0.9998)
    net = network()
    averages = WeightAverages(net, decays)
    by_hand = [{k: v.clone() for k, v in net.state_dict().items()} for _ in decays]
    rng = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        net(torch.rand(6, 1, 2, 2, generator=rng)).square().mean().backward()
        optimizer.step()
        averages.update()
        for decay, values in zip(decays, by_hand, strict=True):
            for key, now in net.state_dict().items():
                if now.is_floating_point():
                    values[key] = decay * values[key] + (1 - decay) * now
    raw, *found = averages.networks()
    assert torch.equal(raw[1].weight, net[1].weight)  # type: ignore[index]
    assert net.training
    for copy, values in zip(found, by_hand, strict=True):
        assert not copy.training
        for key, value in copy.state_dict().items():
            if value.is_floating_point():  # running statistics, too
                torch.testing.assert_close(value, values[key])
    assert not torch.equal(found[0][1].weight, found[2][1].weight)  # type: ignore[index]


def test_the_average_that_agrees_best_is_chosen() -> None:
    net = network()
    averages = WeightAverages(net, (0.9,))
    rng = torch.Generator().manual_seed(2)
    images = torch.rand(200, 1, 2, 2, generator=rng)
    answers = net.eval()(images).softmax(1).detach()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(torch.randn(weight.shape, generator=rng))
    averages.update()  # a tenth of the change: closer to the weights that gave the answers
    old, new = averages.networks()[1], averages.networks()[0]
    assert per_class_agreement(old, images, answers) > per_class_agreement(new, images, answers)
    best = averages.best(images, answers)
    assert torch.equal(best[1].weight, old[1].weight)  # type: ignore[index]


def test_rare_classes_count_as_much_as_frequent_ones() -> None:
    answers = torch.eye(4)[torch.tensor([0] * 8 + [1] * 2)]  # classes 2 and 3 do not occur

    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(4)[torch.tensor([0] * 8 + [0, 1])]

    found = per_class_agreement(Fixed(), torch.rand(10, 1, 2, 2), answers)
    assert found == pytest.approx((1 + 0.5) / 2)
