"""Rows in the form in which an API reads them: image files, nested numbers, records, lists.

The categories of a table are sent as their words; those that are numbers are sent as numbers.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor

from clonecost.data.text_rows import decode
from clonecost.data.values import meaning
from clonecost.errors import Advice, DropKey, SetKey, SpecError
from clonecost.types import Feature, InputPrecision, Shape, as_bytes
from clonecost.victims.endpoints.settings import (
    Encoding,
    FileEncoding,
    PixelEncoding,
    TableEncoding,
    without_nan,
)
from clonecost.victims.input_form import Arrangement, InputForm

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUALITY = 95  # JPEG quality, with a loss hardly above that of 8 bits
MEDIA = {"png": "image/png", "jpeg": "image/jpeg"}
FILES: tuple[FileEncoding, ...] = get_args(FileEncoding)
PIXELS: tuple[PixelEncoding, ...] = get_args(PixelEncoding)
TABLES: tuple[TableEncoding, ...] = get_args(TableEncoding)
Value = float | str | None  # of a feature, in JSON; None: missing


@dataclass(frozen=True, kw_only=True)
class RowEncoding:
    """How an API reads rows.

    Attributes:
        features: the columns of a table; None: images.
    """

    name: Encoding
    form: InputForm
    arrangement: Arrangement
    features: Sequence[Feature] | None = None

    @property
    def takes(self) -> InputPrecision:
        return "uint8" if self.name in (*FILES, "uint8") else "float32"

    @property
    def media_type(self) -> str | None:
        """The type of the file that holds an image; None: a row is no file."""
        return MEDIA.get(self.name)

    def values(self, inputs: Tensor) -> list[Any]:
        """(n, *input_shape) rows -> n pieces of JSON; a file is text in base64."""
        if self.name == "text":
            return list(decode(inputs))
        if self.name in FILES:
            return [base64.b64encode(file).decode("ascii") for file in self.files(inputs)]
        rows = self.form.apply(inputs, self.arrangement)
        if self.features is None:
            return (rows.round().int() if self.name == "uint8" else rows).tolist()
        if self.name in ("codes", "one_hot"):
            numbers = as_numbers(rows, self.features, self.name).tolist()
            return [without_nan(row) for row in numbers]
        columns = [sent_values(feature) for feature in self.features]
        cells = [
            [
                words[int(number)] if words and number is not None else number
                for words, number in zip(columns, without_nan(row), strict=True)
            ]
            for row in rows.tolist()
        ]  # fmt: skip
        if self.name == "array":
            return cells
        names = [feature.name for feature in self.features]
        return [dict(zip(names, row, strict=True)) for row in cells]

    def files(self, inputs: Tensor) -> list[bytes]:
        """(n, C, H, W) pixels in [0, 1] -> n image files."""
        return [_image_file(image, self.name.upper()) for image in as_bytes(inputs)]


def row_encoding(
    name: Encoding | None, form: InputForm, input_shape: Shape,
    features: Sequence[Feature] | None, *, text: bool = False,
) -> RowEncoding:  # fmt: skip
    """Check that an encoding fits the rows.

    Args:
        name: None: `png` for images, `record` for rows of a table, `text` for texts.
        text: the rows are texts.

    Raises:
        SpecError: it does not.
    """
    if text or name == "text":
        if not text or name not in (None, "text"):
            kind = "texts" if text else "images" if features is None else "a table"
            raise SpecError(f"endpoint.encoding does not fit {kind}", DropKey("endpoint.encoding"),
                            got=repr(name))  # fmt: skip
        return RowEncoding(name="text", form=InputForm(), arrangement="nchw")
    encoding = name or ("png" if features is None else "record")
    fitting: Sequence[str] = PIXELS if features is None else TABLES
    if encoding not in fitting:
        kind = "images" if features is None else "a table"
        raise SpecError(f"endpoint.encoding does not fit {kind}", DropKey("endpoint.encoding"),
                        SetKey("endpoint.encoding", "array"), got=repr(encoding),
                        want=", ".join(fitting))  # fmt: skip
    if encoding in FILES:
        if len(input_shape) != 3 or input_shape[0] not in (1, 3):
            raise SpecError(
                f"A {encoding} has 1 or 3 channels, and the input shape does not fit",
                SetKey("endpoint.encoding", "array"), SetKey("endpoint.encoding", "uint8"),
                got=input_shape, want="(1, H, W) or (3, H, W)",
            )  # fmt: skip
        if form != InputForm():
            raise SpecError(
                f"A {encoding} file states its own layout and range",
                Advice("leave layout, pixels, channels, mean and std out"),
            )
    if encoding == "uint8":
        form = InputForm(layout=form.layout, pixels="0..255", channels=form.channels)
    return RowEncoding(
        name=encoding, form=form, arrangement=form.layout or "nchw", features=features
    )


def sent_values(feature: Feature) -> list[Value]:
    """The values of a category as JSON: words, or numbers if all of them are; [] of a number.

    Example:
        >>> sent_values(Feature(name="rooms", categories=("1", "2")))
        [1, 2]
        >>> sent_values(Feature(name="zip", categories=("02139", "10115")))
        ['02139', '10115']
    """
    numbers = [meaning(word) for word in feature.categories]
    if not all(isinstance(number, float) and word.lower() not in ("true", "false")
               for number, word in zip(numbers, feature.categories, strict=True)):  # fmt: skip
        return list(feature.categories)
    return [int(one) if float(one).is_integer() else float(one) for one in numbers]


def numeric(feature: Feature) -> bool:
    """Whether a server reads each value of the feature as a number."""
    return not any(isinstance(value, str) for value in sent_values(feature))


def as_numbers(
    rows: Tensor, features: Sequence[Feature], encoding: TableEncoding
) -> "NDArray[np.float64]":
    """(n, d) rows with categories as indices -> (n, width) numbers as a server reads them.

    Args:
        encoding: `codes` leaves the indices; `one_hot` gives each category a column of its own, in
            the order of the categories; `array` gives each category its value, which is a number.

    Example:
        >>> colour = Feature(name="colour", categories=("red", "green"))
        >>> as_numbers(torch.tensor([[1.0], [0.0]]), [colour], "one_hot").tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    values = rows.double().numpy()
    if encoding == "codes":
        return values
    columns = []
    for feature, column in zip(features, values.T, strict=True):
        if not feature.categories:
            columns.append(column[:, None])
            continue
        missing = np.isnan(column)
        places = np.where(missing, 0, column).astype(np.int64)
        if encoding == "one_hot":
            table = np.eye(len(feature.categories))[places]
        else:
            table = np.array(sent_values(feature), np.float64)[places][:, None]
        table[missing] = np.nan
        columns.append(table)
    return np.concatenate(columns, 1)


def width(features: Sequence[Feature], encoding: TableEncoding) -> int:
    """The numbers of a row in this encoding."""
    return as_numbers(torch.zeros(1, len(features)), features, encoding).shape[1]


def _image_file(image: Tensor, kind: str) -> bytes:
    """(C, H, W) uint8 -> a file of this kind."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    buffer = io.BytesIO()
    options = {"quality": QUALITY, "subsampling": 0} if kind == "JPEG" else {"compress_level": 1}
    Image.fromarray(pixels.contiguous().numpy()).save(buffer, kind, **options)
    return buffer.getvalue()
