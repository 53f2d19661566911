import torch
from torch.nn.functional import cross_entropy

from clonecost.losses import entropy, kl, logit_l1, recover_logits


def test_kl_is_the_formula() -> None:
    logits, answers = torch.randn(5, 4), torch.randn(5, 4).softmax(1)
    q = logits.softmax(1)
    want = (answers * (answers / q).log()).sum(1)
    torch.testing.assert_close(kl(logits, answers), want)
    torch.testing.assert_close(kl(answers.log(), answers), torch.zeros(5), atol=1e-6, rtol=0)


def test_kl_of_hard_labels_is_the_cross_entropy() -> None:
    logits, hard = torch.randn(5, 4), torch.eye(4)[torch.tensor([0, 3, 1, 1, 2])]
    torch.testing.assert_close(kl(logits, hard), cross_entropy(logits, hard, reduction="none"))


def test_mean_recovery_gives_centred_logits_back() -> None:
    z = torch.randn(6, 10) * 8
    recovered = recover_logits(z.softmax(1))
    torch.testing.assert_close(recovered + z.mean(1, keepdim=True), z, atol=1e-4, rtol=1e-4)


def test_recovery_keeps_confident_answers_apart() -> None:
    z = torch.tensor([[50.0, 0.0, -10.0]])  # probabilities down to 1e-26
    torch.testing.assert_close(recover_logits(z.softmax(1)), z - z.mean(), atol=1e-3, rtol=1e-4)


def test_no_zero_probability_becomes_infinite() -> None:
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
