"""Students of every kind: made, checked with two rows, and refused in one sentence."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clonecost.errors import SpecError
from clonecost.networks import build
from clonecost.networks.pretrained import Pretrained
from clonecost.students import load_student, student_of

SHAPE, CLASSES = (1, 16, 16), 4
OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, shape=(1, 16, 16), classes=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))
    def forward(self, x):
        return self.layers(x)

def two(input_shape, num_classes): return Net(input_shape, num_classes)
def none(): return Net()
ready = Net()
encoder = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 6))
encoder.input_shape = (3, 8, 8)
def three_classes(): return Net(classes=3)
def rgb(): return nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten())
def a_list(): return []
class Aux(Net):
    def forward(self, x):
        return (self.layers(x), x) if self.training else self.layers(x)
def falls(): raise OSError("no such disk")
def nothing_to_train(): return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
text = "net"
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path / "own.py")


@pytest.mark.parametrize("name", ["Net", "two", "none", "ready", "two,weights"])
def test_own_code_makes_a_student(own: str, name: str, tmp_path: Path) -> None:
    if name.endswith("weights"):
        net = load_student(f"{own}:none", SHAPE, CLASSES).make()
        save_file(net.state_dict(), tmp_path / "start.safetensors")
        name = f"two,weights={tmp_path / 'start.safetensors'}"
    student = load_student(f"{own}:{name}", SHAPE, CLASSES)
    made = student.make()
    assert made(torch.rand(3, *SHAPE)).shape == (3, CLASSES)
    assert student.digest
    if "weights" in name:
        key = "layers.1.weight"
        assert torch.equal(made.state_dict()[key], net.state_dict()[key])


def test_a_network_in_python_is_copied_for_every_student() -> None:
    net = build("lenet", SHAPE, CLASSES)
    student = student_of(net, SHAPE, CLASSES)
    one, two = student.make(), student.make()
    with torch.no_grad():
        next(one.parameters()).zero_()
    assert torch.equal(next(two.parameters()), next(net.parameters()))
    assert next(net.parameters()).abs().sum() > 0
    assert student.name == "Sequential"


def test_other_weights_or_code_have_another_digest(own: str) -> None:
    found = {load_student(f"{own}:{name}", SHAPE, CLASSES).digest for name in ("none", "ready")}
    again = load_student(f"{own}:none", SHAPE, CLASSES).digest
    assert len(found) == 2
    assert again in found
    assert load_student("lenet", SHAPE, CLASSES).digest == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("three_classes", r"each of the model's classes: got \(2, 3\), want \(2, 4\)"),
        ("rgb", r"does not take the model's inputs of shape \(1, 16, 16\)"),
        ("Aux", "in train mode: got tuple"),
        ("a_list", "makes no network: got list"),
        ("text", "makes no network: got str"),
        ("falls", "raised OSError: no such disk"),
        ("nothing_to_train", "has no weights to train"),
        ("absent", "has no 'absent'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(own: str, name: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_student(f"{own}:{name}", SHAPE, CLASSES)


def test_code_that_is_gone_and_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.py"):
        load_student(str(tmp_path / "gone.py:net"), SHAPE, CLASSES)
    with pytest.raises(SpecError, match=r"did you mean 'lenet'.*backbone:NAME"):
        load_student("lenett", SHAPE, CLASSES)


def test_weights_that_do_not_fit_are_refused_by_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    tensors = build("lenet", SHAPE, CLASSES + 1).state_dict()
    lost, *_ = tensors
    save_file({**{k: v for k, v in tensors.items() if k != lost}, "more": torch.ones(1)}, path)
    with pytest.raises(SpecError) as refused:
        load_student(f"lenet,weights={path}", SHAPE, CLASSES)
    said = str(refused.value)
    assert f"{lost} missing" in said
    assert "more unknown" in said
    assert "(5," in said
    assert "instead of (4," in said
    path.write_bytes(b"no weights")
    with pytest.raises(SpecError):
        load_student(f"lenet,weights={path}", SHAPE, CLASSES)


def test_a_backbone_gets_a_new_head_and_may_stay_frozen(own: str) -> None:
    loaded = load_student(f"backbone:{own}:encoder", SHAPE, CLASSES)
    kept = load_student(f"backbone:{own}:encoder,frozen=true", SHAPE, CLASSES)
    assert (loaded.start, kept.start) == ("pretrained", "frozen")
    student, frozen = loaded.make(), kept.make()
    assert isinstance(student, Pretrained)
    assert isinstance(frozen, Pretrained)
    assert student(torch.rand(2, *SHAPE)).shape == (2, CLASSES)
    assert all(one.requires_grad for one in student.parameters())
    trained = {name for name, one in frozen.named_parameters() if one.requires_grad}
    assert trained == {"head.weight", "head.bias"}
    assert not frozen.train().encoder.training


class Small(nn.Module):
    """A model of a library: convolution, features, classes."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        first = nn.Conv2d(3, 5, 3)
        nn.init.constant_(first.weight[:, :, 0, 0], 7.0)
        self.body = nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(5, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(x))


def fetched(weights: object) -> nn.Module:
    if weights:
        raise OSError("Name or service not known")
    return Small()


def fake_timm() -> ModuleType:
    timm = ModuleType("timm")
    about = {"input_size": (3, 32, 32), "mean": (0.5,), "std": (0.5,)}
    timm.data = SimpleNamespace(resolve_model_data_config=lambda network: about)  # type: ignore[attr-defined]
    timm.is_model = lambda name: name == "small"  # type: ignore[attr-defined]
    timm.list_models = lambda: ["small"]  # type: ignore[attr-defined]

    def create_model(name: str, pretrained: bool, num_classes: int) -> nn.Module:
        return fetched(pretrained) and Small(num_classes)

    timm.create_model = create_model  # type: ignore[attr-defined]
    return timm


def fake_torchvision() -> ModuleType:
    vision = ModuleType("torchvision")
    vision.models = SimpleNamespace(  # type: ignore[attr-defined]
        list_models=lambda module: ["small"],
        get_model=lambda name, weights: fetched(weights),
    )
    return vision


FAKES: dict[str, Callable[[], ModuleType]] = {
    "timm": fake_timm, "torchvision": fake_torchvision,
}  # fmt: skip


@pytest.mark.parametrize("library", FAKES)
def test_a_librarys_model_is_a_student_where_it_is_installed(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FAKES[library]()
    inner = "data" if library == "timm" else "models"
    monkeypatch.setitem(sys.modules, library, fake)
    monkeypatch.setitem(sys.modules, f"{library}.{inner}", ModuleType(inner))
    student = load_student(f"{library}:small,size=24", SHAPE, CLASSES)
    one, two = student.make(), student.make()
    assert one(torch.rand(2, *SHAPE)).shape == (2, CLASSES)
    assert isinstance(one, Pretrained)
    assert one.head.in_features == 5
    assert not one.pretrained
    first, second = (dict(net.named_parameters()) for net in (one, two))
    own = [value for key, value in second.items() if key.endswith("body.0.weight")]
    assert [bool((value[:, :, 0, 0] == 7).all()) for value in own] == [True]  # the library's way
    assert not any(torch.equal(first[key], second[key]) for key in first if "weight" in key)
    with pytest.raises(SpecError, match=r"not on this machine: OSError.*backbone:efficientnet"):
        load_student(f"{library}:small,pretrained=true", SHAPE, CLASSES)
    with pytest.raises(SpecError, match=f"{library} has no model 'smal'; did you mean 'small'"):
        load_student(f"{library}:smal", SHAPE, CLASSES)


@pytest.mark.parametrize("library", FAKES)
def test_a_library_that_is_missing_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SpecError, match=f"pip install {library}"):
        load_student(f"{library}:small", SHAPE, CLASSES)
