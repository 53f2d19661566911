"""A sample of the queries and their answers, as small images inside the page."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clonecost.data.text_rows import decode_array
from clonecost.report.load_runs import Run, Samples
from clonecost.safe_text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

LONGEST = 160  # characters of a text that is shown
LARGEST_PX = 96  # a larger image is shrunk; the ledger holds the proof


@dataclass(frozen=True)
class Tile:
    """One query's image, and the top class of its answer."""

    source: str  # data URI of a PNG
    row: int  # number in the attack's stream, from 0
    answer: str
    probability: float
    pixelated: bool  # enlarge with hard pixels


@dataclass(frozen=True)
class Said:
    """One query's text, and the top class of its answer."""

    text: str  # on one line, cut
    row: int  # number in the attack's stream, from 0
    answer: str
    probability: float


def said(run: Run, most: int) -> list[Said]:
    """Up to `most` of the texts in a run's samples, as `tiles`; a stranger may be their author."""
    samples = run.samples
    if samples is None:
        return []
    chosen = _spread(samples, most)
    texts = decode_array(samples.inputs[chosen], "replace") if len(chosen) else []
    tops = samples.answers[chosen].argmax(1) if len(chosen) else []
    return [
        Said(_cut(one_line(text)), int(samples.positions[place]), run.class_name(int(top)),
             float(samples.answers[place, top]))
        for text, place, top in zip(texts, chosen, tops, strict=True)
    ]  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def tiles(run: Run, most: int) -> list[Tile]:
    """Up to `most` of the run's samples, evenly spread over the stream; [] without samples."""
    samples = run.samples
    if samples is None:
        return []
    return [
        _tile(samples.inputs[i], samples.answers[i], int(samples.positions[i]), run)
        for i in _spread(samples, most)
    ]


def _spread(samples: Samples, most: int) -> NDArray[np.int64]:
    """The places of up to `most` samples, evenly spread over the stream."""
    if not len(samples):
        return np.zeros(0, np.int64)
    order = np.argsort(samples.positions, kind="stable")
    places = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return order[np.unique(places)]


def _tile(image: NDArray[np.uint8], answer: NDArray[np.float32], position: int, run: Run) -> Tile:
    top = int(answer.argmax())
    return Tile(
        source=png_uri(image),
        row=position,
        answer=run.class_name(top),
        probability=float(answer[top]),
        pixelated=max(image.shape[1:]) <= LARGEST_PX,
    )


def png_uri(image: NDArray[np.uint8]) -> str:
    """(C, H, W) pixels 0..255 -> data URI. One channel is grey, three are RGB, else their mean."""
    return uri(picture(image, LARGEST_PX))


def picture(image: NDArray[np.uint8], largest: int) -> "Picture":
    """(C, H, W) pixels 0..255 as a picture of at most `largest` pixels a side; never enlarged."""
    from PIL import Image

    pixels: NDArray[Any]
    if image.shape[0] == 3:
        pixels = image.transpose(1, 2, 0)
    elif image.shape[0] == 1:
        pixels = image[0]
    else:
        pixels = image.mean(axis=0).round().astype(np.uint8)
    found = Image.fromarray(np.ascontiguousarray(pixels))
    found.thumbnail((largest, largest))
    return found


def uri(found: "Picture") -> str:
    """A picture as the data URI of its PNG."""
    buffer = io.BytesIO()
    found.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
