"""Class balance of a batch, as a loss that keeps a generator from making one class only."""

from torch import Tensor

EPSILON = 1e-5  # added to a share before its logarithm: a class may have share 0


def imbalance(logits: Tensor) -> Tensor:
    """sum_k p_k log p_k with p the mean of a batch's probabilities: a scalar in [-log K, 0].

    -log K means that all K classes have the same share, 0 that one class has all rows. Generators
    minimise it in DeGAN, DFMS (there the diversity loss) and IDEAL; DisGUIDE's version over several
    clones is in its own file.

    Args:
        logits: (n, K), of a classifier that gradients pass through.
    """
    share = logits.softmax(1).mean(0)
    return (share * (share + EPSILON).log()).sum()
