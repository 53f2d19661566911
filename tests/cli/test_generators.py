"""`clonecost train generator` and `clonecost list generators`."""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from tests.support.cli_runs import run
from tests.support.workbench import PROXY_ROWS

from clonecost.generators import GENERATORS, load_generator

PAGE = Path(__file__).parents[2] / "docs" / "generators.md"


@pytest.fixture(autouse=True)
def at_the_bench(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path))


def test_a_generator_of_ones_own_images(tmp_path: Path) -> None:
    words = ["--proxy", "proxy.npz", "--shape", "1,8,8", "--epochs", "1", "--seed", "5"]
    said = run("train", "generator", "vae", *words, "--device", "cpu")
    assert said.status == 0, said.err
    card = json.loads(said.out)
    folder = tmp_path / "generators" / "vae-proxy-npz-1x8x8-seed5-epochs1"
    assert f"in {folder}\nsample images: {folder / 'samples.png'}" in said.err
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.width > 1000
    kept = json.loads((folder / "card.json").read_text())
    assert len(kept.pop("losses")) == 1
    assert kept == card
    assert (card["seed"], card["proxy"]["rows"]) == (5, PROXY_ROWS)
    made = load_generator(folder)
    assert (made.proxy, made.image_shape) == ("proxy.npz", (1, 8, 8))


def test_by_default_the_images_are_as_large_as_the_proxys() -> None:
    said = run("train", "generator", "vae", "--proxy", "proxy.npz", "--epochs", "1")
    assert said.status == 0, said.err
    assert json.loads(said.out)["shape"] == [1, 16, 16]


WRONG = {
    "name": (["vea"], "unknown generator 'vea'; did you mean 'vae'"),
    "name before data": (["vea", "--proxy", "nowhere.npz"], "unknown generator"),
    "proxy": (["vae", "--proxy", "nowhere.npz"], "there is no file or folder nowhere.npz"),
    "shape": (["vae", "--proxy", "proxy.npz", "--shape", "1,28,28"], "multiples of 8"),
    "no shape": (["vae", "--proxy", "proxy.npz", "--shape", "32x32"], "--shape does not take this"),
    "channels": (["vae", "--proxy", "proxy.npz", "--shape", "2,8,8"], "grey (1) and RGB (3)"),
    "epochs": (["vae", "--proxy", "proxy.npz", "--epochs", "0"], "at least 1 epoch"),
    "device": (["vae", "--proxy", "proxy.npz", "--device", "abacus"], "'abacus', want auto, cpu"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(what: str, tmp_path: Path) -> None:
    words, sentence = WRONG[what]
    said = run("train", "generator", *words)
    assert (said.status, said.out) == (2, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "generators").exists()


def test_generators_are_listed_with_a_line_each() -> None:
    said = run("list", "generators")
    assert said.status == 0
    assert all(name in said.out for name in GENERATORS)


def test_the_page_names_every_generator_and_its_commands_are_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in GENERATORS)
    commands = re.findall(r"^    clonecost (train generator .*)$", text, re.MULTILINE)
    assert commands
    known = set(re.findall(r"--[a-z]+", run("train", "generator", "--help").out))
    for command in commands:
        assert {word for word in shlex.split(command) if word.startswith("--")} <= known
