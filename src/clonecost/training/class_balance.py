"""How evenly a batch falls into classes: what keeps a generator from making one class only."""

from torch import Tensor

LEAST = 1e-5  # added to a share before its logarithm: a class that is never meant has share 0


def imbalance(logits: Tensor) -> Tensor:
    """sum_k p_k log p_k with p the mean of a batch's probabilities: a scalar in [-log K, 0].

    The lower, the more evenly: -log K when all K classes have the same share, 0 when one has it
    all. Minimised by generators in DeGAN, DFMS (there the diversity loss) and IDEAL; DisGUIDE
    has it over several clones, in its own file.

    Args:
        logits: of a classifier that gradients pass through, (n, K).
    """
    share = logits.softmax(1).mean(0)
    return (share * (share + LEAST).log()).sum()
