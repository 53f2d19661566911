"""A digest changes with the weights, and with nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from clonecost.victims import load_victim
from clonecost.victims.digests import code_digest, estimator_digest, weights_digest

pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")


class Odd(nn.Module):
    """A module with a scalar, an extra state, and a type that NumPy lacks."""

    def __init__(self, seed: int, extra: object = None) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.rand(3, 2, generator=rng).bfloat16())
        self.register_buffer("scalar", torch.rand((), generator=rng))
        self.register_buffer("complex", torch.rand(2, generator=rng) + 0j)
        scale = float(torch.rand((), generator=rng)) + 0.1
        self.register_buffer("packed", torch.quantize_per_tensor(
            torch.ones(4), scale, 1, torch.quint8
        ))  # fmt: skip
        self.extra = extra

    def get_extra_state(self) -> object:
        return self.extra

    def set_extra_state(self, state: object) -> None:
        self.extra = state


EXTRA = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(seed=st.integers(0, 10**6), extra=EXTRA)
@settings(max_examples=30)
def test_equal_modules_have_equal_digests_and_others_have_not(seed: int, extra: Any) -> None:
    first = weights_digest(Odd(seed, extra))
    assert first == weights_digest(Odd(seed, extra))
    assert first != weights_digest(Odd(seed + 1, extra))
    assert first != weights_digest(Odd(seed, [extra]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_network_has_a_digest() -> None:
    def network(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
        return torch.ao.quantization.quantize_dynamic(layers, {nn.Linear}, dtype=torch.qint8)

    digests = [weights_digest(network(seed)) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_an_estimators_digest_is_its_fitted_state() -> None:
    inputs, labels = load_iris(return_X_y=True)

    def fitted(seed: int) -> object:
        return RandomForestClassifier(4, random_state=seed).fit(inputs, labels)

    digests = [estimator_digest(fitted(seed)) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


SOURCE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.linear.weight.data = torch.arange(12.).view(3, 4) - {shift}
    def forward(self, x):
        return self.linear(x)
net = Net()
net.linear.bias.data = torch.zeros(3)
def probs(x):
    return net(x).softmax(1)
"""


def test_victims_of_a_file_are_known_by_weights_and_by_code(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.py" for name in ("one", "same", "other")]
    for file, shift in zip(files, (5, 5, 6), strict=True):
        file.write_text(SOURCE.replace("{shift}", str(shift)))
    nets = [load_victim(f"{file}:net", input_shape=(4,), num_classes=3) for file in files]
    assert nets[0].weights == nets[1].weights != nets[2].weights
    functions = [load_victim(f"{file}:probs", input_shape=(4,), num_classes=3) for file in files]
    assert [one.weights for one in functions] == [None] * 3
    assert functions[0].code == functions[1].code == nets[0].code != functions[2].code


def test_what_no_file_defines_has_no_code() -> None:
    assert code_digest(eval("lambda x: x")) is None
    assert code_digest(len) is None
    assert code_digest(test_what_no_file_defines_has_no_code) == code_digest(Odd)
