import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cross_entropy

from clonecost.training.losses import (
    STUDENT_LOSSES,
    StudentLoss,
    bce,
    entropy,
    kl,
    kl_at,
    l1,
    l2,
    logit_l1,
    recover_logits,
)


def test_kl_is_the_formula() -> None:
    logits, answers = torch.randn(5, 4), torch.randn(5, 4).softmax(1)
    q = logits.softmax(1)
    want = (answers * (answers / q).log()).sum(1)
    torch.testing.assert_close(kl(logits, answers), want)
    torch.testing.assert_close(kl(answers.log(), answers), torch.zeros(5), atol=1e-6, rtol=0)


def test_kl_of_hard_labels_is_the_cross_entropy() -> None:
    logits, hard = torch.randn(5, 4), torch.eye(4)[torch.tensor([0, 3, 1, 1, 2])]
    torch.testing.assert_close(kl(logits, hard), cross_entropy(logits, hard, reduction="none"))


def test_kl_at_a_temperature_is_a_distance_between_centred_logits() -> None:
    s, v = torch.randn(2, 6, 4, dtype=torch.float64)
    want = 9 * kl(s / 3, (v / 3).softmax(1))
    torch.testing.assert_close(kl_at(s, v, 3), want)
    torch.testing.assert_close(kl_at(v + 5, v, 3), torch.zeros(6).double(), atol=1e-12, rtol=0)
    half_variance = (v - s).var(1, correction=0) / 2
    torch.testing.assert_close(kl_at(s, v, 1e4), half_variance, rtol=1e-3, atol=0)


def test_losses_between_probabilities_are_their_formulas() -> None:
    logits, answers = torch.randn(5, 4), torch.randn(5, 4).softmax(1)
    q = logits.softmax(1)
    torch.testing.assert_close(l1(logits, answers), (q - answers).abs().sum(1))
    torch.testing.assert_close(l2(logits, answers), (q - answers).square().sum(1).sqrt())
    want = binary_cross_entropy(q, answers, reduction="none").mean(1)
    torch.testing.assert_close(bce(logits, answers), want)


@pytest.mark.parametrize("loss", STUDENT_LOSSES)
def test_a_confident_student_has_finite_losses_and_gradients(loss: StudentLoss) -> None:
    """Softmax in float32 is exactly 1 and 0 for these logits."""
    logits = torch.tensor([[80.0, -80.0, 0.0], [120.0, 0.0, 0.0]], requires_grad=True)
    for label in (0, 1):
        answers = torch.eye(3)[[label, label]]
        losses = STUDENT_LOSSES[loss](logits, answers)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert torch.isfinite(losses).all()
        assert torch.isfinite(gradient).all()
        assert (losses < 1e-6).all() if label == 0 else (losses > 0.9).all()


def test_bce_has_a_gradient_for_a_confident_wrong_student() -> None:
    logits = torch.tensor([[30.0, 0.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(bce(logits, torch.tensor([[0.0, 1.0, 0.0]])).sum(), logits)
    assert gradient[0, 0] > 0.3
    assert gradient[0, 1] < -0.3


def test_mean_recovery_returns_centred_logits() -> None:
    z = torch.randn(6, 10) * 8
    recovered = recover_logits(z.softmax(1))
    torch.testing.assert_close(recovered + z.mean(1, keepdim=True), z, atol=1e-4, rtol=1e-4)


def test_recovery_keeps_confident_answers_apart() -> None:
    z = torch.tensor([[50.0, 0.0, -10.0]])  # probabilities down to 1e-26
    torch.testing.assert_close(recover_logits(z.softmax(1)), z - z.mean(), atol=1e-3, rtol=1e-4)


def test_a_zero_probability_has_a_finite_logit() -> None:
    answers = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    for how in ("mean", "min", "none"):
        assert torch.isfinite(recover_logits(answers, how)).all()
    assert (recover_logits(answers, "min").amin(1) == 0).all()
    torch.testing.assert_close(
        recover_logits(answers, "none", smallest=1e-3).amin().exp().item(), 1e-3
    )


def test_l1_gradient_does_not_vanish_near_agreement_and_kl_does() -> None:
    v = torch.randn(1, 10)
    v -= v.mean()
    near = (v + 1e-3 * torch.randn(1, 10)).requires_grad_()
    (l1,) = torch.autograd.grad(logit_l1(near, v).sum(), near)
    (k,) = torch.autograd.grad(kl(near, v.softmax(1)).sum(), near)
    assert l1.norm() > 0.3 > 100 * k.norm()


def test_entropy_of_known_answers() -> None:
    answers = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    torch.testing.assert_close(
        entropy(answers), torch.tensor([0.0, 2.0]).mul(0.5).mul(torch.tensor(2.0).log())
    )
