"""A frozen backbone with a linear head: pixels -> logits, as a module like any other."""

from typing import cast

from torch import Tensor, nn

from clonecost.backbones.backbone import Backbone


class WithHead(nn.Module):
    """(n, C, H, W) pixels in [0, 1] -> (n, K) float64 logits W phi(x) + b.

    The head is in float64, in which its equations are solved.
    """

    def __init__(self, backbone: Backbone, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.backbone = backbone.as_module(frozen=True)
        self.head = nn.Linear(weight.shape[1], weight.shape[0]).double()
        self.head.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(pixels).double()))


def with_head(backbone: Backbone, weight: Tensor, bias: Tensor) -> nn.Module:
    """The backbone, frozen, with the head of these weights (K, d) and biases (K,).

    Example:
        >>> network = with_head(backbone, torch.zeros(10, 1280), torch.zeros(10))
    """
    return WithHead(backbone, weight, bias).eval()
