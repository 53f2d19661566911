import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clonecost.errors import SpecError, VictimError
from clonecost.networks import build
from clonecost.victims import load_victim, load_weights
from clonecost.victims.input_form import InputForm

SHAPE, CLASSES = (1, 16, 16), 4


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    save_file(build("lenet", SHAPE, CLASSES, mean=(0.2,)).state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_weights_of_a_known_network(weights: Path) -> None:
    torch.manual_seed(3)
    original = build("lenet", SHAPE, CLASSES, mean=(0.2,)).eval()
    state = torch.get_rng_state()
    victim = load_victim(str(weights), network="lenet", input_shape=SHAPE, num_classes=CLASSES)
    assert torch.equal(torch.get_rng_state(), state)  # loading draws nothing
    inputs = torch.rand(3, *SHAPE)
    torch.testing.assert_close(victim.answer(inputs), original(inputs).softmax(1))
    assert victim.weights == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (victim.name, victim.input_shape, victim.num_classes) == (weights.name, SHAPE, CLASSES)


def test_loaded_weights_can_be_trained(weights: Path) -> None:
    model = load_weights(weights, "lenet", SHAPE, CLASSES)
    model(torch.rand(2, *SHAPE)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not model.training


Change = Callable[[dict[str, Tensor]], object]
BIAS = "network.classifier.5.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(BIAS), f"{BIAS}' is missing"),
        (lambda t: t.update({BIAS: torch.zeros(9)}), r"has shape \(9,\), want \(4,\)"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' is not part of"),
    ],
)
def test_weights_that_do_not_fit_name_the_first_tensor(
    tmp_path: Path, change: Change, message: str
) -> None:
    tensors = dict(build("lenet", SHAPE, CLASSES).state_dict())
    change(tensors)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(VictimError, match=message):
        load_weights(tmp_path / "w.safetensors", "lenet", SHAPE, CLASSES)


def test_weights_need_their_network_and_shape(weights: Path) -> None:
    with pytest.raises(VictimError, match=r"Set `network`; or choose .*names\('networks'\)"):
        load_victim(str(weights))
    with pytest.raises(VictimError, match="Set `input_shape`"):
        load_victim(str(weights), network="lenet")
    with pytest.raises(VictimError, match="Set `num_classes`"):
        load_victim(str(weights), network="lenet", input_shape=SHAPE)
    with pytest.raises(SpecError, match="did you mean 'lenet'"):
        load_victim(str(weights), network="lenett", input_shape=SHAPE, num_classes=CLASSES)


def test_files_that_are_not_weights(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a header")
    with pytest.raises(VictimError, match="is not a safetensors file"):
        load_weights(broken, "lenet", SHAPE, CLASSES)
    with pytest.raises(VictimError, match="no file"):
        load_weights(tmp_path / "absent.safetensors", "lenet", SHAPE, CLASSES)
    with pytest.raises(VictimError, match=r"is a torch pickle.*save_file"):
        load_victim("model.pth")
    with pytest.raises(VictimError, match=r"got 'model', want package\.module:name"):
        load_victim("model")
    with pytest.raises(VictimError, match=r"'own:net' takes pixels .*Leave layout, pixels"):
        load_victim("own:net", form=InputForm(pixels="0..255"))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    exported = torch.export.export(
        model, (torch.rand(2, 1, 2, 2),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    torch.export.save(exported, tmp_path / "program.pt2")
    return tmp_path / "program.pt2"


@pytest.mark.filterwarnings("default")  # torch's own, while it exports
def test_an_exported_program_needs_trust(program: Path) -> None:
    with pytest.raises(VictimError, match=r"can run any code.*`trust=True`"):
        load_victim(str(program))
    victim = load_victim(str(program), trust=True)
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    inputs = torch.rand(5, 1, 2, 2)
    torch.testing.assert_close(victim.answer(inputs), model(inputs).softmax(1))
    assert victim.weights == hashlib.sha256(program.read_bytes()).hexdigest()
    with pytest.raises(VictimError, match=r"failed on inputs of shape \(5, 1, 3, 2\)"):
        victim.answer(torch.rand(5, 1, 3, 2))


def test_a_broken_program_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "p.pt2").write_bytes(b"nothing")
    with pytest.raises(VictimError, match=r"cannot be loaded as a torch\.export program"):
        load_victim(str(tmp_path / "p.pt2"), trust=True)
