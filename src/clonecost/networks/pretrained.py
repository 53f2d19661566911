"""A student on an encoder that was trained by others: its features, and a new linear last layer."""

from typing import Literal, Self

from torch import Tensor, nn

Start = Literal["scratch", "pretrained", "frozen"]  # of a student, by which recipes differ


class Pretrained(nn.Module):
    """(n, C, H, W) pixels in [0, 1] -> (n, K) logits: `head(encoder(x))`.

    The encoder resizes and normalises.

    Args:
        encoder: (n, C, H, W) -> (n, features).
        features: d.
        num_classes: K.
        frozen: the encoder is not trained, and stays in eval mode.
        pretrained: it has weights of its own; else its initial weights are random.

    Example:
        >>> import torch
        >>> Pretrained(nn.Flatten(), 4, 3)(torch.rand(2, 1, 2, 2)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, encoder: nn.Module, features: int, num_classes: int, *, frozen: bool = False,
        pretrained: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(features, num_classes)
        self.frozen, self.pretrained = frozen, pretrained
        if frozen:
            self.encoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(inputs))
        return logits


def start_of(student: nn.Module) -> Start:
    """Whether a student starts from weights of others, and whether they stay as they are.

    Example:
        >>> start_of(nn.Linear(2, 2))
        'scratch'
    """
    if not isinstance(student, Pretrained) or not student.pretrained:
        return "scratch"
    return "frozen" if student.frozen else "pretrained"
