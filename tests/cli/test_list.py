"""`clonecost list KIND NAME`: what a part declares, and its settings with default and meaning."""

import re

import pytest
from tests.support.cli_runs import run

from clonecost.attacks import ATTACKS
from clonecost.defences import DEFENCES
from clonecost.registry import KINDS, names


def words(text: str) -> str:
    """Without the line breaks that a narrow terminal makes."""
    return " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_has_every_name(kind: str) -> None:
    said = run("list", kind)
    assert said.status == 0
    known = names(kind)  # type: ignore[arg-type]
    assert all(name in said.out for name in known)
    assert known


def test_an_attack_shows_its_declaration_and_settings() -> None:
    said = run("list", "attacks", "dfme")
    assert said.status == 0
    shown = words(said.out)
    assert shown.startswith("dfme: DFME: trains a generator")
    for part in ("finite_differences yes", "needs probs", "takes images", "white_box no"):
        assert part in shown
    assert re.search(r"batch_size +256 +B, images of a batch", said.out)
    assert re.search(r"step +1e-3 +epsilon", said.out)
    assert "dfme:cifar10, dfme:svhn" in shown
    assert "--set dfme.SETTING=VALUE" in shown


def test_a_setting_of_a_base_class_is_shown_with_its_own_default() -> None:
    said = run("list", "attacks", "maze_star")
    assert re.search(r"directions +10 +m, random directions", said.out)
    assert re.search(r"student_steps +5 +s, steps of the student", said.out)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_setting_of_every_attack_is_shown(name: str) -> None:
    said = run("list", "attacks", name)
    for setting in ATTACKS.source(name).settings:
        assert re.search(rf"^{setting.name} ", said.out, re.MULTILINE)


@pytest.mark.parametrize("name", DEFENCES)
def test_a_defence_shows_how_it_is_given(name: str) -> None:
    said = run("list", "defences", name)
    assert f"--defence {name}:SETTING=VALUE" in said.out
    assert "coarse" in said.out


def test_other_kinds_show_one_line() -> None:
    assert words(run("list", "networks", "lenet").out).startswith("lenet: LeNet: 2 convolutions")
    assert "handwritten digits" in run("list", "datasets", "digits").out
    assert "table iris" in run("list", "victims", "iris-mlp").out


def test_an_unknown_name_is_suggested() -> None:
    said = run("list", "attacks", "dfmee")
    assert said.status == 2
    assert "did you mean 'dfme'?" in said.err
