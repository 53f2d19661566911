import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clonecost.errors import VictimError
from clonecost.victims import load_victim

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :3]

model = Net()

def make():
    return Net()

def needs(x, y):
    return x

def uniform(x):
    return torch.full((len(x), 4), 0.25)

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_victims_for_test.py").write_text(SOURCE)
    (tmp_path / "broken_for_test.py").write_text("import no_such_module_anywhere")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_victims_for_test", None)


@pytest.mark.parametrize("name", ["model", "make()", "Net()"])
def test_modules_and_factories_are_found_in_the_current_folder(name: str) -> None:
    path = list(sys.path)
    victim = load_victim(f"my_victims_for_test:{name}", input_shape=(1, 2, 2), num_classes=3)
    assert sys.path == path
    inputs = torch.rand(2, 1, 2, 2)
    expected = inputs.flatten(1)[:, :3].softmax(1)
    torch.testing.assert_close(victim.answer(inputs), expected)
    assert (victim.input_shape, victim.num_classes) == ((1, 2, 2), 3)


def test_callables_give_probabilities() -> None:
    victim = load_victim("my_victims_for_test:uniform")
    assert torch.equal(victim.answer(torch.rand(2, 1, 2, 2)), torch.full((2, 4), 0.25))


def test_a_file_is_a_victim_and_finds_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "beside_for_test.py").write_text("def probs(x): return x[:, :2] * 0 + 0.5")
    (tmp_path / "sub" / "my file.py").write_text("from beside_for_test import probs")
    victim = load_victim("sub/my file.py:probs", input_shape=(3,), num_classes=2)
    assert torch.equal(victim.answer(torch.rand(1, 3)), torch.full((1, 2), 0.5))
    monkeypatch.setenv("HOME", str(tmp_path))
    again = load_victim("~/sub/my file.py:probs", input_shape=(3,))
    assert torch.equal(again.answer(torch.rand(1, 3)), torch.full((1, 2), 0.5))
    with pytest.raises(VictimError, match=r"no file sub/absent\.py"):
        load_victim("sub/absent.py:probs")
    del sys.modules["beside_for_test"]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("my_victims_for_test:modle", "has no 'modle': want one of .*model"),
        ("no_such_module_for_test:x", "there is no Python module 'no_such_module_for_test'"),
        ("broken_for_test:x", "No module named 'no_such_module_anywhere'"),
        ("my_victims_for_test:Net", r"is a class. Write 'my_victims_for_test:Net\(\)'"),
        ("my_victims_for_test:number", "got int, want an nn.Module"),
        ("my_victims_for_test:needs()", r"calling needs\(\) without arguments failed"),
        ("my_victims_for_test:", "has no ''"),
        (":name", "importing '' failed"),
    ],
)
def test_an_unusable_object_is_one_sentence(where: str, message: str) -> None:
    with pytest.raises(VictimError, match=message):
        load_victim(where)


def test_a_failing_callable_names_the_inputs() -> None:
    victim = load_victim("my_victims_for_test:needs")
    with pytest.raises(VictimError, match=r"failed on inputs of shape \(2, 3\): .*missing 1"):
        victim.answer(torch.rand(2, 3))
