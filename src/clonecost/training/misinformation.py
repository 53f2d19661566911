"""Train a network to be wrong: the one that answers in the place of an unsure victim."""

import torch
from torch import Tensor, nn

from clonecost.training.optimisers import Adam
from clonecost.types import Progress, as_pixels, no_progress

FLOOR = 1e-7  # inside the logarithm, as in the released code


def misinformation_loss(logits: Tensor, avoided: Tensor) -> Tensor:
    """-log(1 - p_c + 1e-7) of the class c that a row must not be given, (n,) values >= 0.

    Kariyappa and Qureshi, CVPR 2020, "Defending Against Model Stealing Attacks with Adaptive
    Misinformation", §4.2.

    Args:
        logits: (n, K).
        avoided: (n,) classes.

    Example:
        >>> misinformation_loss(torch.zeros(1, 2), torch.tensor([0]))  # log 2
        tensor([0.6931])
    """
    p = torch.softmax(logits, 1).gather(1, avoided[:, None])[:, 0]
    return -(1 - p + FLOOR).log()


def train_to_be_wrong(
    network: nn.Module,
    inputs: Tensor,
    avoided: Tensor,
    *,
    epochs: int,
    rng: torch.Generator,
    lr: float = 1e-3,
    batch_size: int = 128,
    progress: Progress = no_progress,
) -> float:
    """Train `network` in place, by Adam, to give no row the class that it must avoid.

    Args:
        network: (n, *shape) pixels in [0, 1] -> (n, K) logits; in eval mode afterwards.
        inputs: (n, *shape), uint8 0..255 or float32 in [0, 1], n > 1, on the network's device.
        avoided: (n,) classes, on the same device.
        rng: on the CPU; draws the order.
        progress: is called after each epoch.

    Returns:
        The share of these rows that the trained network still gives the avoided class.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> rows, rng = torch.rand(20, 1, 2, 2), torch.Generator()
        >>> train_to_be_wrong(net, rows, torch.zeros(20).long(), epochs=99, lr=0.1, rng=rng)
        0.0
    """
    optimizer = Adam(network.parameters(), lr=lr)
    for epoch in range(epochs):
        network.train()
        order = torch.randperm(len(inputs), generator=rng)
        for rows in order.split(batch_size):
            if len(rows) == 1:
                continue  # BatchNorm takes no single row
            rows = rows.to(inputs.device)
            loss = misinformation_loss(network(as_pixels(inputs[rows])), avoided[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        progress("training misinformation", epoch + 1, epochs)
    network.eval()
    with torch.no_grad():
        hits = [
            int((network(as_pixels(inputs[rows])).argmax(1) == avoided[rows]).sum())
            for rows in torch.arange(len(inputs), device=inputs.device).split(512)
        ]
    return sum(hits) / len(inputs)
