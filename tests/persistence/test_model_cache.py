import json
from pathlib import Path

import pytest
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import nn

from clonecost.errors import DataError
from clonecost.persistence.model_cache import Cached


@pytest.fixture
def place(tmp_path: Path) -> Cached:
    return Cached(tmp_path / "a" / "b", "thing", DataError)


def names(place: Cached) -> list[str]:
    return sorted(path.name for path in place.folder.iterdir())


def test_what_is_written_is_read_back(place: Cached) -> None:
    assert place.card() is None
    place.must_be_writable()
    assert names(place) == []
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    place.write(model, {"name": "it"}, {"look.png": b"picture"})
    assert names(place) == ["card.json", "look.png", "weights.safetensors"]
    card = place.card()
    assert card is not None
    assert card["name"] == "it"
    assert torch.equal(load_file(place.weights())["weight"], model.weight)
    place.write(nn.Conv2d(3, 4, 3), {"name": "again"})  # over the old one
    assert (place.card() or {})["sha256"] != card["sha256"]
    assert place.weights().is_file()


def test_an_interrupted_write_leaves_an_empty_cache(
    place: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.must_be_writable()
    place.write(nn.Linear(1, 1), {"name": "old"})

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clonecost.persistence.model_cache.save_file", cut)
    with pytest.raises(KeyboardInterrupt):
        place.write(nn.Linear(1, 1), {"name": "new"})
    assert place.card() is None


def test_weights_of_another_card_are_refused(place: Cached) -> None:
    place.must_be_writable()
    place.write(nn.Linear(1, 1), {})
    path = place.folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": "0" * 64}))
    with pytest.raises(
        DataError, match=r"cached thing in .* does not match .* [Dd]elete that folder"
    ):
        place.weights()


def test_two_processes_do_not_train_the_same(place: Cached) -> None:
    lock = FileLock(place.folder / "training.lock")
    with place.alone(), pytest.raises(Timeout), lock.acquire(timeout=0):
        pass
    with lock.acquire(timeout=0):
        pass
