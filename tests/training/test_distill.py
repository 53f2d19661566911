import pytest
import torch
from torch import Tensor, nn

from clonecost.training.distill import Recipe, distill, mean_kl
from clonecost.training.optimisers import SGD


def data(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    inputs = torch.rand(n, 1, 4, 4, generator=rng)
    teacher = torch.randn(16, 3, generator=rng) * 4
    return inputs, ((inputs.flatten(1) - 0.5) @ teacher).softmax(1)


def student(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 3)
        )


def fit(recipe: Recipe, seed: int = 0, **how: float) -> nn.Module:
    net = student(**how)
    distill(net, *data(), recipe, rng=torch.Generator().manual_seed(seed))
    return net


RECIPES = {
    "shared": Recipe(epochs=30, augment="none", lr=1e-2),
    "sgd steps": Recipe(optimizer="sgd", lr=0.3, schedule="step", step_epochs=20, epochs=30,
                        augment="none", validation=0.0),
    "constant": Recipe(epochs=30, schedule="constant", augment="none", lr=1e-2),
    "adam": Recipe(epochs=30, optimizer="adam", weight_decay=0.0, lr=1e-2),
    "bce": Recipe(epochs=30, loss="bce", lr=1e-2),
    "l1": Recipe(epochs=30, loss="l1", lr=1e-2),
    "l2": Recipe(epochs=30, loss="l2", lr=1e-2),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_training_lowers_the_kl(name: str) -> None:
    untrained = mean_kl(student(), *data())
    assert mean_kl(fit(RECIPES[name]), *data()) < untrained / 5


def test_the_result_depends_on_the_seed_only_with_dropout_too() -> None:
    recipe = Recipe(epochs=3)
    torch.manual_seed(1)
    one = fit(recipe, dropout=0.5).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = fit(recipe, dropout=0.5).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), before)
    other = fit(recipe, seed=5, dropout=0.5).state_dict()
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_step_schedule_counts_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler stepped once a batch instead of once an epoch has moved published results."""
    rates: list[float] = []
    plain = SGD.step

    def spy(self: SGD, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return plain(self, *args)

    monkeypatch.setattr(SGD, "step", spy)
    fit(Recipe(optimizer="sgd", lr=1.0, schedule="step", step_epochs=2, epochs=6, batch_size=200,
               validation=0.0, augment="none"))  # fmt: skip
    assert rates == pytest.approx([1.0] * 6 + [0.1] * 6 + [0.01] * 6)


def test_held_out_rows_choose_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    import clonecost.training.distill as module

    seen: list[int] = []

    def score(student: nn.Module, inputs: Tensor, answers: Tensor) -> float:
        seen.append(len(inputs))
        return 1.0

    monkeypatch.setattr(module, "mean_kl", score)
    fit(Recipe(epochs=4, validation=0.25))
    assert seen == [150, 150]  # a quarter of the rows, in the second half of the epochs


def test_a_last_batch_of_one_row_does_not_break_batch_norm() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    inputs, answers = data(9)
    recipe = Recipe(epochs=2, batch_size=4, validation=0.0, augment="none")
    before = [p.clone() for p in net.parameters()]
    distill(net, inputs, answers, recipe, rng=torch.Generator())
    for p, old in zip(net.parameters(), before, strict=True):
        assert p.isfinite().all()
        assert not torch.equal(p, old)  # the whole batches were learnt
