"""An interrupted training continues and ends with the same weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from tests.support.tiny_generators import TINY, noise

from clonecost.generators import GENERATORS, train_generator
from clonecost.generators.store import SNAPSHOTS, Clock
from clonecost.types import LabelledInputs

EPOCHS = {"progan": 1}  # of seven stages; others: 3


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, settings in TINY.items():
        row = GENERATORS[name]
        recipe = replace(row.recipe, epochs=EPOCHS.get(name, 3), **settings)  # type: ignore[type-var]
        monkeypatch.setitem(GENERATORS, name, replace(row, recipe=recipe))
        monkeypatch.setattr(f"clonecost.generators.{name}.REPORT_EVERY", 1, raising=False)
    monkeypatch.setattr("clonecost.generators.gan_training.REPORT_EVERY", 1)


def train(name: str, cache: Path, stop: float = 1.0, proxy: LabelledInputs | None = None) -> Path:
    """Train up to the share `stop` of all steps, then raise KeyboardInterrupt, as Ctrl-C does."""

    def progress(_: str, done: int, total: int) -> None:
        if stop < 1 and done >= stop * total:
            raise KeyboardInterrupt

    return train_generator(name, proxy or noise(), cache=cache, progress=progress)


def cut_off(name: str, cache: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        train(name, cache, stop=0.8)
    (kept,) = cache.rglob(f"{SNAPSHOTS}/*.safetensors")
    return kept


def digest(folder: Path) -> str:
    return json.loads((folder / "card.json").read_text())["sha256"]


@pytest.mark.parametrize("name", TINY)
def test_it_continues_to_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = train(name, tmp_path / "whole")
    kept = cut_off(name, tmp_path / "cut")
    with safe_open(kept, "pt") as file:
        ended = json.loads(file.metadata()["clonecost"])["done"]
    assert 2 <= ended < 7
    steps: list[int] = []
    again = train_generator(
        name, noise(), cache=tmp_path / "cut", progress=lambda _, step, __: steps.append(step)
    )
    assert digest(again) == digest(whole)
    per_epoch = steps[-1] // (ended + 1)
    assert steps[0] > per_epoch  # it did not begin at the beginning
    cards = [json.loads((folder / "card.json").read_text()) for folder in (again, whole)]
    assert cards[0]["losses"] == cards[1]["losses"]
    assert sorted(path.name for path in again.iterdir()) == [
        "card.json", "samples.png", "weights.safetensors",
    ]  # fmt: skip


def test_snapshots_of_other_rows_or_broken_ones_are_not_used(tmp_path: Path) -> None:
    other = replace(noise(), inputs=255 - noise().inputs)
    whole = train("vae", tmp_path / "whole", proxy=other)
    cut_off("vae", tmp_path / "cut")
    assert digest(train("vae", tmp_path / "cut", proxy=other)) == digest(whole)
    cut_off("vae", tmp_path / "cut").write_bytes(b"broken")
    assert digest(train("vae", tmp_path / "cut", proxy=other)) == digest(whole)


def test_the_clock_continues_where_it_stopped() -> None:
    before, after = Clock(), Clock()
    before.earlier = 100.0
    held = before.state_dict()
    assert after.seconds < 100.0 <= held["seconds"]
    after.load_state_dict(held)
    assert held["seconds"] <= after.seconds < held["seconds"] + 60.0
