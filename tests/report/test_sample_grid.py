import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.synthetic_runs import CLASSES, result, run, sample_tensors

from clonecost.report import Run, Samples
from clonecost.report.sample_grid import LARGEST_PX, png_uri, tiles


def decoded(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def sampled(rows: int) -> Run:
    return Run(Path("run"), result(), Samples(**sample_tensors(rows)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pixels_survive(channels: int, mode: str) -> None:
    image = sample_tensors(1, channels)["inputs"][0]
    picture = decoded(png_uri(image))
    assert picture.mode == mode
    np.testing.assert_array_equal(
        np.asarray(picture).reshape(8, 8, channels), image.transpose(1, 2, 0)
    )


def test_other_channel_counts_are_shown_as_grey() -> None:
    assert decoded(png_uri(np.full((2, 8, 8), 7, np.uint8))).getpixel((0, 0)) == 7


def test_big_images_are_shrunk() -> None:
    picture = decoded(png_uri(np.zeros((3, 300, 150), np.uint8)))
    assert picture.size == (LARGEST_PX // 2, LARGEST_PX)


def test_a_tile_tells_row_class_and_probability() -> None:
    tensors = sample_tensors(5)
    tile = tiles(sampled(5), 32)[3]
    top = int(tensors["answers"][3].argmax())
    assert (tile.row, tile.answer) == (30, CLASSES[top])
    assert tile.probability == pytest.approx(float(tensors["answers"][3, top]))


@pytest.mark.parametrize("rows", [1, 5, 32, 33, 500])
def test_the_sheet_spans_the_stream(rows: int) -> None:
    found = [tile.row for tile in tiles(sampled(rows), 32)]
    assert len(found) == min(rows, 32)
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0, (rows - 1) * 10)


def test_no_samples_no_tiles() -> None:
    assert tiles(run(), 32) == []
    assert tiles(sampled(0), 32) == []
