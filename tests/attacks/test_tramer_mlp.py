from pathlib import Path

import torch
from sklearn.neural_network import MLPClassifier
from tests.support.table_runs import kit, steal, total_variation
from tests.support.table_toys import TableToy, numbers
from tests.support.toys import CLASSES

from clonecost.attacks.tramer_mlp import TramerMlp
from clonecost.tabular.models import TanhModel

HIDDEN = 3


def perceptron() -> TableToy:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = TanhModel(numbers(4), HIDDEN, CLASSES)
        with torch.no_grad():
            model.out.weight.mul_(4)
    return TableToy(numbers(4), CLASSES, lambda rows: model(rows).softmax(1).detach())


def test_a_perceptron_is_solved_to_its_probabilities(tmp_path: Path) -> None:
    toy = perceptron()
    (clone,), spent = steal(
        TramerMlp(checks=0, hidden=HIDDEN, alpha=10.0, iterations=700), toy, tmp_path
    )
    assert spent == 10 * (HIDDEN * 5 + CLASSES * (HIDDEN + 1))
    assert total_variation(clone, toy) < 1e-2


def test_the_attacker_does_not_begin_where_the_victim_began() -> None:
    """The official code seeds both with the same constant: its attack starts half-way home."""
    seed = 0
    x = torch.randn(50, 4).numpy()
    victim = MLPClassifier((HIDDEN,), activation="tanh", random_state=seed, max_iter=1)
    victim.partial_fit(x, [0, 1] * 25, classes=[0, 1, 2])
    attack = TramerMlp(hidden=HIDDEN)
    first, again, other = (
        attack.start(numbers(4), CLASSES, kit(10, number).branch(10)) for number in (seed, seed, 1)
    )
    begun = torch.from_numpy(victim.coefs_[0].T)  # one small step from where it began
    assert float((first.hidden.weight.detach() - begun).abs().max()) > 0.1
    assert torch.equal(first.hidden.weight, again.hidden.weight)
    assert not torch.equal(first.hidden.weight, other.hidden.weight)
    assert not first.out.weight.any()
