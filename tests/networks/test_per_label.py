"""An answer of several labels is one on the simplex, and its loss is binary cross-entropy."""

import torch
from torch import nn
from torch.nn import functional as F

from clonecost.networks.per_label import PerLabel, chances_of, paired, present
from clonecost.training.losses import kl


def test_labels_come_back_and_rows_sum_to_one() -> None:
    chances = torch.rand(7, 5)
    answers = paired(chances)
    torch.testing.assert_close(answers.sum(1), torch.ones(7))
    torch.testing.assert_close(chances_of(answers), chances)
    assert torch.equal(present(answers), chances > 0.5)


def test_distillation_is_binary_cross_entropy_of_each_label() -> None:
    """Their gradients are equal: KL and cross-entropy differ by the answers' own entropy."""
    chances, logits = torch.rand(6, 4), torch.randn(6, 4, requires_grad=True)
    own = torch.autograd.grad(kl(PerLabel(nn.Identity())(logits), paired(chances)).mean(), logits)
    binary = F.binary_cross_entropy_with_logits(logits, chances)
    torch.testing.assert_close(own, torch.autograd.grad(binary, logits))
    torch.testing.assert_close(
        chances_of(PerLabel(nn.Identity())(logits).softmax(1)), logits.sigmoid()
    )
