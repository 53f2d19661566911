import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.released_resnet import published_names

from clonecost.data import load
from clonecost.errors import DataError, SpecError, VictimError
from clonecost.networks import build
from clonecost.persistence.disk import file_digest
from clonecost.victims.zoo.catalogue import VICTIMS, Released
from clonecost.victims.zoo.images import first_step, is_trained, train_victim, zoo_victim
from clonecost.victims.zoo.released import released_file

REAL = VICTIMS["cifar10-resnet18"]
assert isinstance(REAL.training, Released)
WEIGHTS: Released = REAL.training


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with an unpacked package, whose weights are those of a small ResNet."""
    torch.manual_seed(1)
    network = build("resnet8", (3, 32, 32), 10, mean=(0.0,), std=(1.0,))
    path = tmp_path / "no-such-package" / "examples" / "small.pt"
    path.parent.mkdir(parents=True)
    torch.save(published_names(network.get_submodule("network").state_dict()), path)
    weights = replace(
        WEIGHTS, package="no-such-package", file="examples/small.pt", sha256=file_digest(path)
    )
    monkeypatch.setitem(VICTIMS, "cifar10-resnet18",
                        replace(REAL, network="resnet8", training=weights))  # fmt: skip
    return tmp_path


def test_released_weights_become_a_victim_of_the_cache(data: Path) -> None:
    victim = zoo_victim("cifar10-resnet18", root=data, cache=data / "cache")
    assert (victim.input_shape, victim.num_classes) == ((3, 32, 32), 10)
    torch.manual_seed(1)
    network = build("resnet8", (3, 32, 32), 10, mean=(0.0,), std=(1.0,)).eval()
    rows = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(victim.answer(rows), network(rows).softmax(1))
    card = json.loads((data / "cache/victims/cifar10-resnet18-seed0/card.json").read_text())
    assert card["test"]["rows"] == 10_000
    assert card["test"]["accuracy"] == WEIGHTS.correct / 10_000
    assert card["recipe"]["training"]["licence"] == "MIT"
    (data / "no-such-package/examples/small.pt").unlink()  # the cache has it now
    again = zoo_victim("cifar10-resnet18", root=data, cache=data / "cache")
    assert again.weights == victim.weights
    assert is_trained("cifar10-resnet18", cache=data / "cache")


def test_what_an_audit_does_first(data: Path) -> None:
    assert first_step("cifar10-resnet18", root=data).endswith("small.pt first")
    (data / "no-such-package/examples/small.pt").unlink()
    with pytest.raises(VictimError, match=r"not installed.*'clonecost\[weights\]'.*data folder"):
        first_step("cifar10-resnet18", root=data)


def test_another_file_is_refused_before_it_is_read(data: Path) -> None:
    (data / "no-such-package/examples/small.pt").write_bytes(b"not these")
    with pytest.raises(VictimError, match=r"not the file .* got SHA-256 \w{12}, want \w{12}"):
        zoo_victim("cifar10-resnet18", root=data, cache=data / "cache")


def test_released_weights_have_neither_seeds_nor_epochs(data: Path) -> None:
    with pytest.raises(SpecError, match=r"no other seed .*got 3"):
        train_victim("cifar10-resnet18", root=data, cache=data / "cache", seed=3)
    with pytest.raises(SpecError, match="no epochs of a training"):
        train_victim("cifar10-resnet18", root=data, cache=data / "cache", epochs=1)


def test_the_real_file(tmp_path: Path) -> None:
    try:
        released_file("cifar10-resnet18", WEIGHTS)
        test = load("cifar10", "test", shape=REAL.input_shape, download=False)
    except VictimError as error:
        pytest.skip(f"the extra `weights` is not installed: {error}")
    except DataError as error:
        pytest.skip(f"CIFAR-10 is not here: {error}")
    victim = zoo_victim("cifar10-resnet18", cache=tmp_path)
    hits = victim.answer(test.rows(slice(0, 64))).argmax(1) == test.labels[:64]
    assert hits.float().mean() > 0.85  # 95 % of all rows
