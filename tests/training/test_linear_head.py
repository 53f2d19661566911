"""The loss of a head is the one that does better on held-out rows."""

import torch
from torch import Tensor, nn

from clonecost.networks.pretrained import Pretrained
from clonecost.training.fine_tune import FitHead
from clonecost.training.linear_head import best_head, probe_head
from clonecost.training.losses import kl

D, CLASSES, ROWS = 12, 4, 100
HELD_OUT = torch.arange(ROWS) < 10


def fitted(features: Tensor, answers: Tensor, fit: FitHead = best_head) -> nn.Linear:
    student = Pretrained(nn.Identity(), features=D, num_classes=CLASSES)
    fit(student, features, answers, HELD_OUT, whole=True)
    return student.head.requires_grad_(False)


def drawn() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    features, fresh = torch.randn(2, ROWS, D, generator=rng)
    return features, fresh, 2 * torch.randn(D, CLASSES, generator=rng)


def test_log_ratios_copy_a_linear_head_of_which_kl_has_an_estimate() -> None:
    features, fresh, weight = drawn()
    answers, wanted = (features @ weight).softmax(1), (fresh @ weight).softmax(1)
    ours, probed = fitted(features, answers), fitted(features, answers, probe_head)
    assert kl(ours(fresh), wanted).mean() < 1e-6 < 1e-4 < kl(probed(fresh), wanted).mean()


def test_kl_remains_where_small_probabilities_are_chance_and_for_labels() -> None:
    features, _, weight = drawn()
    logits = features @ weight
    noise = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(1)) ** 40
    answers = (logits == logits.amax(1, keepdim=True)).float()
    for told in (answers, (answers + 1e-3 * noise).clamp_min(1e-30)):
        told = told / told.sum(1, keepdim=True)
        ours, probed = fitted(features, told), fitted(features, told, probe_head)
        assert torch.equal(ours.weight, probed.weight)
