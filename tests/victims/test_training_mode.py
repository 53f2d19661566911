"""Functions of a network in training mode are found without a row, and then asked a few."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from torch import Tensor, nn

from clonecost.errors import VictimError
from clonecost.types import PredictionApi
from clonecost.victims import sklearn_victim
from clonecost.victims.loaded_victim import LoadedVictim, as_loaded
from clonecost.victims.steadiness import STEADY, steadiness
from clonecost.victims.training_mode import trains

SHAPE, CLASSES = (1, 4, 4), 3
API = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)
Ask = Callable[[Tensor], Tensor]


def network(step: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    linear = nn.Linear(16, CLASSES)
    nn.init.normal_(linear.weight, std=2)
    return nn.Sequential(nn.Flatten(), step, linear, nn.Softmax(1))


class Served:
    """An object with a network, as people write one around a model."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __call__(self, rows: Tensor) -> Tensor:
        return self.probs(rows)

    def probs(self, rows: Tensor) -> Tensor:
        answers: Tensor = self.net(rows)
        return answers


class Model:
    """An object with a method and no call."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def predict(self, rows: Tensor) -> Tensor:
        answers: Tensor = self.net(rows)
        return answers


def asking(model: Model) -> Ask:
    return lambda rows: model.predict(rows)


def closed_over(net: nn.Module) -> Ask:
    return lambda rows: net(rows)


WAYS: dict[str, Callable[[nn.Module], Ask]] = {
    "a function": closed_over, "an object": Served, "a method": lambda net: Served(net).probs,
    "forward": lambda net: net.forward, "a partial": lambda net: partial(Served.probs, Served(net)),
    "a method of what is no function": lambda net: Model(net).predict,
    "around such a method": lambda net: asking(Model(net)),
}  # fmt: skip


def loaded(function: Ask) -> LoadedVictim:
    return as_loaded(function, device=torch.device("cpu"), api=API, white_box=False)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_dropout_and_batch_statistics_are_found_in_every_wrapper(way: str) -> None:
    wrapped = WAYS[way](network(nn.Dropout(0.5)))
    assert trains(wrapped)
    assert steadiness(loaded(wrapped), SHAPE).random > 0.01
    with pytest.raises(VictimError, match="depend on the other rows of the batch"):
        steadiness(loaded(WAYS[way](network(nn.BatchNorm1d(16)))), SHAPE)
    for calm in (network(nn.Dropout(0.5)).eval(), network(nn.Dropout(0.0)), network(nn.ReLU())):
        assert not trains(WAYS[way](calm))


def test_a_function_that_switches_its_network_itself_is_steady() -> None:
    net = network(nn.Dropout(0.5))

    def careful(rows: Tensor) -> Tensor:
        answers: Tensor = net.eval()(rows)
        return answers

    assert trains(careful)
    assert steadiness(loaded(careful), SHAPE) == STEADY


@pytest.mark.parametrize("plain", [len, torch.relu, print, object(), Served, 3])
def test_what_names_no_network_trains_none(plain: object) -> None:
    assert not trains(plain)


def test_a_function_of_a_name_without_a_value_trains_none() -> None:
    def early(rows: Tensor) -> Tensor:
        answers: Tensor = net(rows)
        return answers

    assert not trains(early)
    net = network(nn.Dropout(0.5))
    assert trains(early)


def test_an_estimator_that_draws_its_answers_is_found_and_numpys_state_is_kept() -> None:
    rows, labels = np.zeros((6, 16)), [0, 1, 2, 0, 1, 2]
    api = PredictionApi(input_shape=(16,), num_classes=CLASSES)

    def served(strategy: str) -> LoadedVictim:
        model = DummyClassifier(strategy=strategy).fit(rows, labels)
        return as_loaded(
            sklearn_victim(model), device=torch.device("cpu"), api=api, white_box=False
        )

    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    assert steadiness(served("stratified"), (16,)).random > 0.1
    assert steadiness(served("prior"), (16,)) == STEADY
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]
    assert served("prior").classes == ("0", "1", "2")
