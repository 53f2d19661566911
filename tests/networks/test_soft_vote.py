import torch
from torch import nn

from clonecost.networks.soft_vote import SoftVote


def test_softmax_is_the_members_mean() -> None:
    members = [nn.Linear(4, 3), nn.Linear(4, 3)]
    x = torch.randn(5, 4)
    mean = sum(m(x).softmax(1) for m in members) / 2
    torch.testing.assert_close(SoftVote(members)(x).softmax(1), mean)
    torch.testing.assert_close(SoftVote(members)(x).exp(), mean)  # logits are its logarithm


def test_confident_members_give_finite_logits() -> None:
    one, two = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        one.weight.copy_(torch.tensor([[1e4], [0.0]]))
        two.weight.copy_(torch.tensor([[1e4], [0.0]]))
    assert torch.isfinite(SoftVote([one, two])(torch.ones(1, 1))).all()


def test_each_member_is_saved_under_its_index() -> None:
    members = [nn.Linear(4, 3), nn.Linear(4, 3)]
    assert set(SoftVote(members).state_dict()) == {
        f"members.{k}.{name}" for k in range(2) for name in ("weight", "bias")
    }
