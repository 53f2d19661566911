"""Defences with a network beside the victim: where it comes from, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.defence_settings import working
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor

from clonecost.audit import run_audit
from clonecost.config import make_defence
from clonecost.defences import defend
from clonecost.errors import CloneCostError, SpecError
from clonecost.networks import build
from clonecost.persistence.run_folder import write_network
from clonecost.types import Victim

SHAPE, CLASSES = (1, 32, 32), 3
NEEDS = {"grad2": "surrogate", "adaptive_misinformation": "misinformation", "ensemble": "members"}
needs_network = pytest.mark.parametrize("name", NEEDS)
INPUTS = torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0))
CLEAN = torch.rand(12, CLASSES, generator=torch.Generator().manual_seed(1)).softmax(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that say what they are, and the same that do not."""
    found = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = build("half-lenet", SHAPE, CLASSES)
    about = {"network": "half-lenet", "num_classes": str(CLASSES), "input_shape": "[1, 32, 32]"}
    write_network(found / "own.safetensors", model, about)
    write_network(found / "silent.safetensors", model, {})
    torch.manual_seed(1)
    write_network(found / "other.safetensors", build("half-lenet", SHAPE, CLASSES), about)
    return found


def served(name: str, inputs: Any = INPUTS, clean: Any = CLEAN, **how: Any) -> Tensor:
    return defend(lambda _: clean, working(name, **how))(inputs)


@needs_network
def test_a_file_is_named_and_its_digest_is_a_setting(name: str, folder: Path) -> None:
    key = NEEDS[name]
    path = folder / "own.safetensors"
    part = make_defence(f"{name}:{key}={path}")
    digest = part.digest  # type: ignore[attr-defined]
    assert len(digest) == 64
    assert make_defence(f"{name}:{key}={path},digest={digest}") == part
    silent = folder / "silent.safetensors"
    found = served(name, **{key: str(path)})
    assert torch.equal(found, served(name, **{key: str(silent), "network": "half-lenet"}))
    assert not torch.equal(found, served(name, **{key: str(folder / "other.safetensors")}))


@needs_network
def test_what_does_not_fit_is_refused_by_name(name: str, folder: Path, tmp_path: Path) -> None:
    key = NEEDS[name]
    own, silent = folder / "own.safetensors", folder / "silent.safetensors"
    with pytest.raises(SpecError, match=rf"{name}'s .*no file .*absent"):
        make_defence(f"{name}:{key}={tmp_path / 'absent.safetensors'}")
    with pytest.raises(SpecError, match=r"unknown network 'lenett'; did you mean 'lenet'"):
        make_defence(f"{name}:{key}=lenett")
    with pytest.raises(SpecError, match="other weights than those that were named"):
        make_defence(f"{name}:{key}={own},digest={'0' * 64}")
    with pytest.raises(SpecError, match=r"does not say of which network.*network=NAME"):
        served(name, **{key: str(silent)})
    with pytest.raises(SpecError, match=r"has 3 classes, and the victim 4"):
        served(name, clean=torch.full((12, 4), 0.25), **{key: str(own)})
    with pytest.raises(SpecError, match=rf"{name}'s .*does not fit network"):
        served(name, clean=torch.full((12, 4), 0.25),
               **{key: str(silent), "network": "half-lenet"})  # fmt: skip


@needs_network
def test_an_audit_refuses_it_before_anything_is_sent(
    name: str, folder: Path, make_audit: MakeAudit, victim: Victim
) -> None:
    asked = RecordingVictim(victim)  # of 1x8x8 pixels
    part = working(name, **{NEEDS[name]: str(folder / "own.safetensors")})
    with pytest.raises(SpecError, match=rf"{name}'s"):
        run_audit(make_audit(victim=asked, defences=[part]))
    assert asked.seen == 0


@pytest.mark.parametrize("name", ["adaptive_misinformation", "ensemble"])
def test_without_a_network_they_are_listed_and_refused(
    name: str, make_audit: MakeAudit, victim: Victim
) -> None:
    asked = RecordingVictim(victim)
    with pytest.raises(CloneCostError, match=rf"{name} .*(wrongly|members)"):
        run_audit(make_audit(victim=asked, defences=[make_defence(name)]))
    assert asked.seen == 0


def test_a_victim_of_the_cache_is_a_member_by_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path))
    cached = tmp_path / "victims" / "toy-seed1"
    cached.mkdir(parents=True)
    (cached / "weights.safetensors").write_bytes((folder / "silent.safetensors").read_bytes())
    card = {"recipe": {"network": "half-lenet", "num_classes": CLASSES}}
    (cached / "card.json").write_text(json.dumps(card))
    assert torch.equal(
        served("ensemble", members="toy-seed1"),
        served("ensemble", members=str(folder / "own.safetensors")),
    )


def test_misinformation_is_a_switch_at_the_threshold() -> None:
    clean = torch.tensor([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.7, 0.2, 0.1]])
    inputs = INPUTS[:3]
    # a threshold of 1 and a gentle slope show the network's own answers
    far = served("adaptive_misinformation", inputs, clean, threshold=1, slope=1e6)
    found = served("adaptive_misinformation", inputs, clean, threshold=0.7, slope=1e4)
    torch.testing.assert_close(found[0], clean[0])
    torch.testing.assert_close(found[1], far[1])
    torch.testing.assert_close(found[2], (clean[2] + far[2]) / 2, atol=1e-3, rtol=0)


def test_a_key_sends_each_row_to_one_member() -> None:
    clean = torch.zeros(3_000, 4)
    clean[:, 0] = 1
    rows = torch.rand(3_000, 1, 3, 3, generator=torch.Generator().manual_seed(3))
    how: dict[str, Any] = {"members": "perceptron+perceptron", "step": 1e-4}
    found = served("ensemble", rows, clean, **how)
    own = (found == clean).all(1)
    assert abs(float(own.float().mean()) - 1 / 3) < 0.03
    assert torch.equal(served("ensemble", rows, clean, **how), found)
    other = served("ensemble", rows, clean, key="another", **how)
    assert not torch.equal((other == clean).all(1), own)
    # every other row is the answer of one of two untrained networks, which differ
    assert len(found[~own].argmax(1).unique()) > 1
