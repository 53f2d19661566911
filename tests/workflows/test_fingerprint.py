"""Fingerprint: the backbone, the rounding and the width behind answers, within a counted budget."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.toy_backbone import SIZE, D

from clonecost.backbones.catalogue import BackboneCard
from clonecost.cli.fingerprint import facts
from clonecost.config import EVERYTHING, make_spec
from clonecost.errors import ConsentError, SpecError
from clonecost.oracle.record import Record
from clonecost.result.fingerprint import Fingerprint
from clonecost.workflows.fingerprint import TWICE, fingerprint

RIGHT, WRONG = (f"tests.support.toy_backbone:{name}" for name in ("encoder", "other_encoder"))
SOURCE = """
import torch
from tests.support.toy_backbone import D, encoder

def flexible(pixels):
    return encoder(torch.nn.functional.adaptive_avg_pool2d(pixels, 8))

flexible.input_shape = (3, 24, 24)

def head(classes):
    rng = torch.Generator().manual_seed(0)
    return torch.randn(classes, D, generator=rng), torch.randn(classes, generator=rng)

def answers(pixels, classes):
    weight, bias = head(classes)
    return (encoder(pixels) @ weight.T + bias).softmax(1)

def few(pixels):
    return answers(pixels, 5)

def many(pixels):
    return answers(pixels, 60)

def tuned(pixels):
    pixels = pixels + 0.1 * pixels.square()
    return few(pixels)

def any_size(pixels):
    return few(torch.nn.functional.adaptive_avg_pool2d(pixels, 8))

def moody(pixels):
    return (few(pixels).log() + torch.rand(len(pixels), 5)).softmax(1)
"""


@pytest.fixture
def victims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "fingerprinted_for_test.py").write_text(SOURCE)
    pictures = np.zeros((4, 3, SIZE, SIZE), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", inputs=pictures, labels=np.arange(4))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clonecost.workflows.fingerprint.BACKBONES", {})  # 224 pixels are slow
    yield tmp_path
    sys.modules.pop("fingerprinted_for_test", None)


def asked(
    name: str, folder: Path, backbones: tuple[str, ...] = (RIGHT, WRONG), **keys: Any
) -> Fingerprint:
    spec = make_spec({
        "victim": f"fingerprinted_for_test:{name}", "shape": [3, SIZE, SIZE], "budget": 120,
        "test": "test.npz", "classes": 5, **keys,
    })  # fmt: skip
    return fingerprint(spec, folder, backbones=backbones, consent=EVERYTHING)


def test_the_backbone_is_recognised_and_every_row_is_counted(victims: Path) -> None:
    found = asked("few", victims / "out")
    first, second = found.backbones
    assert (first.name, first.sign, second.sign) == (RIGHT, "recognised", "no sign")
    assert first.explained > 0.9999 > second.explained
    assert (found.answers, found.step, found.changed) == ("probs", 0, 0)
    assert not found.width_seen  # five classes show no 24 features
    head = found.attacks[0]
    assert (head.attack, head.applies, head.queries) == ("frozen_head", True, int(1.2 * (D + 1)))
    assert (first.frozen, second.frozen) == (True, None)
    assert found.asked == 120
    assert [(one.height, one.width, one.taken) for one in found.sizes] == [
        (4, 4, False), (16, 16, False), (8, 12, False)
    ]  # fmt: skip
    with_ledger = Record.read(victims / "out" / "ledger.sqlite")
    try:
        assert with_ledger.totals("attack").settled == 117
    finally:
        with_ledger.close()
    written = json.loads((victims / "out" / "fingerprint.json").read_text())
    assert written == json.loads(found.model_dump_json())
    again = asked("few", victims / "out", budget=150)  # it goes on with what is paid
    assert again.asked == 150


def test_a_backbone_that_was_trained_with_its_head_is_told(victims: Path) -> None:
    found = asked("tuned", victims / "out", (RIGHT,))
    (sign,) = found.backbones
    assert (sign.sign, sign.frozen) == ("likely", False)
    head = found.attacks[0]
    assert (head.applies, head.queries) == (True, None)
    assert "its owner has trained it, too" in head.why


def test_sizes_that_are_taken(victims: Path) -> None:
    found = asked("any_size", victims / "out", ())
    assert [one.taken for one in found.sizes] == [True, True, True]
    again = asked("any_size", victims / "out", ())
    assert again == found
    words = dict(facts(found))
    assert words["other sizes"] == "takes 4 x 4, 16 x 16, 8 x 12"
    few = asked("few", victims / "few", ())
    assert "rows that were sent" not in dict(facts(few))["other sizes"]
    for one in few.sizes:
        with closing(Record.read(victims / f"few/sizes/{one.height}x{one.width}.sqlite")) as paid:
            assert (paid.totals("attack").lost, one.why_not != "") == (1, True)


def test_more_classes_than_features_show_the_width(victims: Path) -> None:
    found = asked("many", victims / "out", backbones=(), classes=60)
    assert (found.width, found.width_seen, found.backbones, found.best) == (D, True, [], None)
    assert not found.attacks[0].applies


def test_rounding_and_chance_are_told(victims: Path) -> None:
    rounded = asked("few", victims / "rounded", (RIGHT,), defence=["rounding:decimals=2"])
    assert rounded.step == 0.01
    assert (rounded.attacks[0].queries, rounded.attacks[1].applies) == (None, False)
    label = asked("few", victims / "label", (RIGHT,), answers="label")
    assert label.answers == "label"
    moody = asked("moody", victims / "moody", ())
    assert moody.changed > 0.01
    assert "changes from time to time" in moody.attacks[1].why


def test_what_no_fingerprint_is_taken_of_is_refused(victims: Path) -> None:
    with pytest.raises(SpecError, match="so few rows"):
        asked("few", victims / "out", budget=TWICE)
    with pytest.raises(SpecError, match="unknown backbone"):
        asked("few", victims / "out", ("nothing",))
    with pytest.raises(SpecError, match="takes rows of a table"):
        fingerprint(make_spec({"victim": "iris-softmax", "budget": 100}), victims / "out")
    spec = make_spec({"victim": "fingerprinted_for_test:few", "shape": [3, SIZE, SIZE],
                      "test": "test.npz", "budget": 100})  # fmt: skip
    with pytest.raises(ConsentError, match="run the Python code of fingerprinted_for_test:few"):
        fingerprint(spec, victims / "out")
    assert not (victims / "out").exists()


def test_a_backbone_is_tried_at_the_victims_size_too(
    victims: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "fingerprinted_for_test:flexible"
    listed = {name: BackboneCard("", features=D, side=24, packages=())}
    monkeypatch.setattr("clonecost.workflows.fingerprint.BACKBONES", listed)
    monkeypatch.setattr("clonecost.workflows.fingerprint.SMALLEST", SIZE)
    (sign,) = asked("few", victims / "out", ()).backbones
    assert (sign.size, sign.sign) == (SIZE, "recognised")
