"""The loss of students on the victim's answers, for soft and for hard labels."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from clonecost.training.losses import kl, logit_l1, recover_logits


def imitation(
    logits: Sequence[Tensor], answers: Tensor, *, hard: bool, loss: Literal["l1", "kl"] = "l1",
    smallest: float = 1e-30,
) -> Tensor:  # fmt: skip
    """(): the sum over students of their mean distance from the victim's answers.

        soft: (1/K) sum_k |v_k - s_k|,  v = log p - mean log p      the recovered logits
              or sum_k p_k log(p_k / softmax(s)_k) with `loss` kl
        hard: -log softmax(s)_y,        y = argmax p

    Args:
        logits: of each student, (n, K).
        answers: (n, K), rows on the simplex; exact zeros are allowed.
        hard: use the top class only.
        smallest: probabilities below it are raised to it before the logarithm.
    """
    if hard:
        top = answers.argmax(1)
        losses = [F.cross_entropy(s, top) for s in logits]
    elif loss == "kl":
        losses = [kl(s, answers).mean() for s in logits]
    else:
        recovered = recover_logits(answers, "mean", smallest=smallest)
        losses = [logit_l1(s, recovered).mean() for s in logits]
    return sum(losses[1:], losses[0])
