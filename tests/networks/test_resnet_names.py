import pytest
import torch
from tests.support.released_resnet import published_names
from torch import Tensor
from torch.nn import functional as F

from clonecost.networks import build
from clonecost.networks.resnet_names import ours

BLOCKS = {"resnet8": (1, 1, 1), "resnet20": (3, 3, 3), "resnet18-8x": (2, 2, 2, 2)}


def by_hand(t: dict[str, Tensor], x: Tensor, blocks: tuple[int, ...]) -> Tensor:
    """The published ResNet's answer, straight from the tensors under their published names."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, t[f"{name}.weight"], t[f"{name}.bias"])

    x = norm(F.conv2d(x, t["conv1.weight"], padding=1), "bn1").relu()
    for stage, count in enumerate(blocks, 1):
        for number in range(count):
            block, step = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            y = norm(F.conv2d(x, t[f"{block}.conv1.weight"], None, step, 1), f"{block}.bn1").relu()
            y = norm(F.conv2d(y, t[f"{block}.conv2.weight"], padding=1), f"{block}.bn2")
            if f"{block}.shortcut.0.weight" in t:
                x = F.conv2d(x, t[f"{block}.shortcut.0.weight"], stride=step)
                x = norm(x, f"{block}.shortcut.1")
            x = (x + y).relu()
    return F.linear(x.mean((2, 3)), t["linear.weight"], t["linear.bias"])


@pytest.mark.parametrize("name", BLOCKS)
def test_a_published_checkpoint_answers_as_its_own_architecture(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, (3, 16, 16), 10, mean=(0.0,), std=(1.0,))
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean, part.running_var):
                assert values is not None
                torch.nn.init.uniform_(values, 0.5, 1.5)
    published = published_names(network.get_submodule("network").state_dict())
    assert {"conv1.weight", "layer2.0.shortcut.1.running_var", "linear.bias"} <= published.keys()
    other = build(name, (3, 16, 16), 10, mean=(0.0,), std=(1.0,)).eval()
    other.get_submodule("network").load_state_dict(ours(published))
    rows = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            other(rows), by_hand(published, rows, BLOCKS[name]), rtol=1e-4, atol=1e-4
        )


def test_other_spellings_and_unknown_names() -> None:
    found = ours({name: torch.ones(1) for name in (
        "module.layer1.0.conv2.weight", "fc.weight", "ours.already", "alone",
    )})  # fmt: skip
    assert list(found) == [
        "stages.0.0.body.3.weight", "classifier.weight", "ours.already", "alone",
    ]  # fmt: skip
