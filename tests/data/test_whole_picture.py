"""The pictures behind an attacker's rows, in all their pixels."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from clonecost.data import load_proxy
from clonecost.data.on_demand import on_demand
from clonecost.data.whole_picture import pictures_in, whole_picture
from clonecost.errors import DataError
from clonecost.types import LabelledInputs


def test_crops_have_the_photographs_that_they_are_of() -> None:
    photos = load_proxy("photos", shape=(1, 28, 28))
    assert pictures_in(photos) == 2
    assert whole_picture(photos, 0).shape == whole_picture(photos, 1).shape == (3, 427, 640)


def test_other_rows_are_pictures_of_their_own() -> None:
    rows = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    data = LabelledInputs(rows, torch.zeros(5), name="mine")
    for pool in (data, on_demand(data, (3, 16, 16))):
        assert pictures_in(pool) == 5
        assert torch.equal(whole_picture(pool, 3), rows[3])
    assert pictures_in(load_proxy("shapes", shape=(3, 16, 16))) == 20_000


def test_a_single_picture_is_a_pool_of_one_row(tmp_path: Path) -> None:
    path = tmp_path / "garden.jpg"
    Image.effect_noise((90, 60), 80).convert("RGB").save(path)
    (tmp_path / "other.png").write_bytes(b"not looked at")
    pool = load_proxy(str(path), shape=(3, 16, 16))
    assert (len(pool), pool.shape, pictures_in(pool)) == (1, (3, 16, 16), 1)
    assert whole_picture(pool, 0).shape == (3, 60, 90)
    with pytest.raises(DataError, match=r"no file .*absent\.jpg"):
        load_proxy(str(tmp_path / "absent.jpg"), shape=(3, 16, 16))
