"""Tables with a known model behind them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tests.support.toys import CLASSES

from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import LinearModel
from clonecost.types import Feature, InputPrecision, Victim
from clonecost.victims import sklearn_victim
from clonecost.victims.zoo.estimators import SmoothedTree


@dataclass(frozen=True)
class TableToy:
    """A table with a known model behind it."""

    features: tuple[Feature, ...]
    classes: int
    answer: Victim
    incomplete: bool = False  # rows with missing values are answered
    precision: InputPrecision = "float32"


def numbers(count: int) -> tuple[Feature, ...]:
    """Features of different ranges."""
    return tuple(Feature(name=f"n{k}", low=-1 - k % 3, high=1 + k % 2) for k in range(count))


COLOUR = Feature(name="colour", categories=("red", "green", "blue"))


def linear_toy(features: tuple[Feature, ...], classes: int) -> TableToy:
    """Softmax regression that answers in float64, as an estimator does."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = LinearModel(features, classes)
        with torch.no_grad():
            model.linear.weight.normal_()
            model.linear.bias.normal_(std=0.1)
    return TableToy(features, classes, lambda rows: model(rows).softmax(1).detach())


def tree_toy(features: tuple[Feature, ...], leaves: int = 60) -> TableToy:
    """A tree whose nodes have answers of their own."""
    rows = uniform_rows(features, 2_000, torch.Generator().manual_seed(3)).double()
    labels = (3 * (rows[:, 0] * rows[:, 1] + rows[:, 2]).sin()).round().long() % CLASSES
    tree = SmoothedTree(leaves, 0).fit(rows.numpy(), labels.numpy())
    return TableToy(features, CLASSES, sklearn_victim(tree), incomplete=True)


def relu_toy(numbers_of_row: int, hidden: int, classes: int) -> TableToy:
    """A random network of one hidden layer, whose two classes have one output as scikit-learn's."""
    rng = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    features = numbers(numbers_of_row)
    w, b = 2 * drawn(hidden, numbers_of_row) / numbers_of_row**0.5, drawn(hidden)
    outputs = classes if classes > 2 else 1
    a, c = 3 * drawn(outputs, hidden) / hidden**0.5, drawn(outputs)

    def answer(rows: torch.Tensor, /) -> torch.Tensor:
        z = (rows.double() @ w.T + b).relu() @ a.T + c
        if classes > 2:
            return z.softmax(1)
        return torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)

    return TableToy(features, classes, answer, precision="float64")


# The victim of an attack on tables is of the kind that it solves for.
TABLE_TOYS: dict[str, Callable[[], TableToy]] = {
    "lowd_meek": lambda: linear_toy(numbers(60), 2),
    "relu_exact": lambda: relu_toy(10, 24, CLASSES),
    "threshold_harvest": lambda: tree_toy((*numbers(6), COLOUR)),
    "tramer_adaptive_retrain": lambda: linear_toy((*numbers(6), COLOUR), CLASSES),
    "tramer_kernel_lr": lambda: linear_toy(numbers(4), CLASSES),
    "tramer_lr": lambda: linear_toy((*numbers(6), COLOUR), CLASSES),
    "tramer_mlp": lambda: linear_toy(numbers(6), CLASSES),
    "tramer_tree": lambda: tree_toy((*numbers(6), COLOUR)),
    "tramer_tree_top_down": lambda: tree_toy((*numbers(6), COLOUR)),
}
