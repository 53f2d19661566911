import pytest
import torch
from tests.support.toys import CLASSES, SHAPE, toy_student
from torch import Tensor, nn

from clonecost.attacks import zskd
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.zskd import Zskd, class_similarity, dirichlet_targets, last_weights, stretch
from clonecost.errors import SpecError
from clonecost.training.losses import kl
from clonecost.types import as_pixels


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kit(network: nn.Module, seed: int = 0) -> AttackerKit:
    return AttackerKit(
        student=toy_student, generator=lambda latent, *, width: nn.Identity(), rng=rng(seed),
        device=torch.device("cpu"), horizon=0,
        white_box=network.eval().requires_grad_(False),
    )  # fmt: skip


def test_beta_changes_the_variance_of_the_targets() -> None:
    """Normalising after the division, as the released code does, cancels it."""
    similarity = torch.tensor([1.0, 0.4, 0.0, 0.7])
    a = (similarity + zskd.LEAST).double()
    mean = a / a.sum()
    variances = {}
    for beta in (1.0, 0.1):
        drawn = dirichlet_targets(similarity, beta, 40_000, rng())
        assert drawn.dtype == torch.float32
        torch.testing.assert_close(drawn.sum(1), torch.ones(40_000))
        torch.testing.assert_close(drawn.mean(0).double(), mean, atol=0.01, rtol=0)
        variances[beta] = drawn.var(0).double()
        want = mean * (1 - mean) / (beta * a.sum() + 1)
        torch.testing.assert_close(variances[beta], want, atol=0.004, rtol=0)
    assert variances[0.1][0] > 2 * variances[1.0][0]


def test_targets_come_from_the_given_randomness_alone() -> None:
    similarity = torch.tensor([1.0, 0.4, 0.0])
    before = torch.get_rng_state()
    one, two, other = (dirichlet_targets(similarity, 1.0, 5, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_classes_are_alike_by_the_cosine_of_their_weights() -> None:
    weights = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, -3.0]])
    cosines = torch.tensor([[1, 0.5**0.5, 0], [0.5**0.5, 1, -(0.5**0.5)], [0, -(0.5**0.5), 1]])
    want = (cosines + 0.5**0.5) / (1 + 0.5**0.5)
    torch.testing.assert_close(class_similarity(weights), want)
    torch.testing.assert_close(class_similarity(5 * weights), want)  # lengths do not matter


def test_the_last_linear_layer_with_an_output_a_class_is_read() -> None:
    first, last = nn.Linear(8, 4), nn.Linear(4, 4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), first, nn.ReLU(), last)
    assert torch.equal(last_weights(network, 4), last.weight)
    with pytest.raises(SpecError, match="last linear layer with 5 outputs"):
        last_weights(network, 5)


def test_pixels_are_stretched_group_by_group() -> None:
    images = torch.rand(2 * zskd.GROUP, *SHAPE) * 0.2
    images[zskd.GROUP :] += 5
    want = images.clone()
    stretch(images)
    for part, before in zip(images.split(zskd.GROUP), want.split(zskd.GROUP), strict=True):
        assert (part.min(), part.max()) == (0, 1)
        torch.testing.assert_close(
            part, (before - before.min()) / (before.max() - before.min()), atol=1e-5, rtol=0
        )
    grey = torch.full((zskd.GROUP, *SHAPE), 0.5)
    stretch(grey)
    assert grey.isfinite().all()


def impressions(network: nn.Module, **settings: object) -> tuple[Tensor, Tensor]:
    attack = Zskd(impression_lr=0.05, **settings)  # type: ignore[arg-type]
    targets = torch.cat([dirichlet_targets(torch.eye(CLASSES)[k], 0.1, 100, rng()) for k in (0, 1)])
    made = attack.make_impressions(targets, SHAPE, network, kit(network))
    assert made.dtype == torch.uint8
    assert made.shape == (200, *SHAPE)
    return targets, made


def test_impressions_approach_their_targets(network: nn.Module) -> None:
    def distance(steps: int) -> float:
        targets, made = impressions(network, steps=steps, temperature=4)
        with torch.no_grad():
            return float(kl(network(as_pixels(made)) / 4, targets).mean())

    assert distance(80) < 0.6 * distance(1)


def test_the_size_of_a_batch_does_not_change_impressions(network: nn.Module) -> None:
    (_, one), (_, two) = (impressions(network, steps=5, at_once=n) for n in (100, 200))
    assert (one.int() - two.int()).abs().max() <= 1


def test_the_networks_answers_are_those_to_the_students_inputs(network: nn.Module) -> None:
    shown: list[Tensor] = []
    answered: list[Tensor] = []

    def note(kept: list[Tensor]) -> "nn.Module":
        class Noting(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = toy_student() if kept is shown else network

            def forward(self, x: Tensor) -> Tensor:
                kept.append(x.clone())
                return self.body(x)

        return Noting()

    images = torch.randint(256, (65, *SHAPE), dtype=torch.uint8)
    mine = kit(note(answered))
    mine = AttackerKit(**{**vars(mine), "student": lambda: note(shown)})
    Zskd(epochs=2, batch_size=32).distil(images, mine.white_box, mine)  # type: ignore[arg-type]
    assert [len(x) for x in shown] == [32, 32, 32, 32]  # a last row alone is left out
    assert all(torch.equal(a, b) for a, b in zip(shown, answered, strict=True))
    pixels = {row.numpy().tobytes() for row in as_pixels(images)}
    varied = [row.numpy().tobytes() not in pixels for x in shown for row in x]
    assert sum(varied) > 64  # augmented, most of them


def test_bad_betas_are_named() -> None:
    for betas in ((), (1.0, 0.0), (float("nan"),)):
        with pytest.raises(SpecError, match=r"zskd\.betas .* want one or more numbers above 0"):
            Zskd(betas=betas)
