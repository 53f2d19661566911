"""Any other JSON API, described in the spec: how a request looks, and where the answers stand.

Rows are put where the template says `$input` (one row a request) or `$inputs` (a list of rows, each
in the form of `row`); answers are found by a JMESPath expression. What it finds for a row is one of

    [0.1, 0.7, 0.2]                       probabilities, in the order of the classes
    {"cat": 0.7, "dog": 0.2}              by name
    [{"label": "cat", "score": 0.7}, ..]  a list, with the keys named in the settings
    "cat" or 1                            only the winner, by name or number
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import jmespath
import torch
from jmespath.exceptions import JMESPathError
from torch import Tensor

from clonecost.errors import SpecError, VictimError
from clonecost.types import Feature, InputPrecision, Shape, as_bytes, check_top_k
from clonecost.victims.endpoints.settings import Encoding, EndpointSettings, Secrets, without_nan
from clonecost.victims.input_form import Arrangement, InputForm

ROWS = 16  # of a request, when nobody says
QUALITY = 95  # of a JPEG: its loss is then hardly more than that of 8 bits
EXACT = 1e-12  # a sum that is off by less is 1: a division would move last bits
ROUNDING = 0.05  # answers printed with few digits miss a sum of 1 by so much; they are rescaled
NUMBERS = ("uint8", "array")
FORMATS = {"png": "PNG", "jpeg": "JPEG"}


@dataclass(frozen=True, kw_only=True)
class Template:
    """One JSON API; a `Dialect`."""

    url: str
    settings: EndpointSettings
    body: dict[str, Any]  # secrets filled in
    encoding: Encoding
    form: InputForm
    arrangement: Arrangement
    num_classes: int
    rows_per_request: int
    features: Sequence[Feature] | None = None  # of a table

    @property
    def method(self) -> str:
        return self.settings.method

    @property
    def takes(self) -> InputPrecision:
        return "float32" if self.encoding in ("array", "record") else "uint8"

    @property
    def served(self) -> str:
        first = f"the {self.settings.top_k} likeliest classes" if self.settings.top_k else "answers"
        return f"JSON template, {self.encoding} in, {first} at {self.settings.answers}"

    def ask(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        rows = self._encode(inputs)
        if _holds(self.body, "$inputs"):
            each = [_fill(self.settings.row, "$input", row) for row in rows]
            body = _fill(self.body, "$inputs", each)
        else:
            (row,) = rows
            body = _fill(self.body, "$input", row)
        return {"Content-Type": "application/json"}, json.dumps(body).encode()

    def _encode(self, inputs: Tensor) -> Sequence[Any]:
        if self.encoding in FORMATS:
            return [_picture(image, FORMATS[self.encoding]) for image in as_bytes(inputs)]
        values = self.form.apply(inputs, self.arrangement)
        if self.features is not None:
            return [self._row(row) for row in values.tolist()]
        return (values.round().int() if self.encoding == "uint8" else values).tolist()

    def _row(self, values: list[float]) -> list[float | None] | dict[str, float | str | None]:
        """One row of a table: its numbers, or under their names with categories in words."""
        numbers = without_nan(values)
        if self.encoding == "array":
            return numbers
        return {
            feature.name: feature.categories[int(number)]
            if feature.categories and number is not None else number
            for feature, number in zip(self.features or (), numbers, strict=True)
        }  # fmt: skip

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        path = self.settings.answers
        try:
            document = response.json()
            found = jmespath.search(path, document)
        except (ValueError, JMESPathError) as error:
            raise VictimError(f"{self.url} answered with no JSON that {path} applies to") from error
        if found is None:
            has = f"the keys {', '.join(document)}" if isinstance(document, dict) else "no object"
            raise VictimError(f"{self.url}: nothing stands at {path} in its answer; it has {has}")
        listed = found if _holds(self.body, "$inputs") else [found]
        if not isinstance(listed, list) or len(listed) != rows:
            count = f"{len(listed)} answers" if isinstance(listed, list) else "no list"
            raise VictimError(f"{self.url}: {path} finds {count} for {rows} rows")
        scores = torch.zeros(rows, self.num_classes, dtype=torch.float64)
        for k, answer in enumerate(listed):
            named = self._named(answer)
            scores[k, list(named)] = torch.tensor(list(named.values()), dtype=torch.float64)
        scores = self._rescaled(scores)
        return scores if self.features is not None else scores.float()

    def _named(self, answer: Any) -> dict[int, float]:
        """Class number -> probability, of one row."""
        label, score = self.settings.label, self.settings.score
        if isinstance(answer, str | int):
            return {self._number(answer): 1.0}
        if isinstance(answer, list) and all(isinstance(one, dict) for one in answer):
            try:
                answer = {one[label]: one[score] for one in answer}
            except KeyError as error:
                has = ", ".join(map(str, answer[0]))
                raise VictimError(
                    f"{self.url}: an answer has no {error} but {has}: say endpoint.label and "
                    "endpoint.score"
                ) from error
        if isinstance(answer, list):
            answer = dict(enumerate(answer))
        if not isinstance(answer, dict) or not all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in answer.values()
        ):
            raise VictimError(
                f"{self.url}: what stands at {self.settings.answers} is neither numbers nor named "
                f"numbers but {json.dumps(answer)[:80]}"
            )
        named = {self._number(key): float(value) for key, value in answer.items()}
        wanted = self.settings.top_k or self.num_classes
        if len(named) != min(wanted, self.num_classes):
            raise VictimError(
                f"{self.url} names {len(named)} classes, not {wanted}: if it always names its k "
                "likeliest only, say endpoint.top_k, else check --classes"
            )
        return named

    def _number(self, label: str | int) -> int:
        """The class that a label means."""
        classes = self.settings.classes
        if isinstance(label, str) and label in classes:
            return classes.index(label)
        number = int(label) if str(label).isdecimal() else -1
        if not 0 <= number < self.num_classes:
            known = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "") or "none"
            raise VictimError(
                f"{self.url} names a class {label!r} that nobody told: endpoint.classes ({known}) "
                "lists the names in the order of the test set's labels"
            )
        return number

    def _rescaled(self, scores: Tensor) -> Tensor:
        """Rows whose sum is off by rounding, or by the classes that were not named, sum to 1."""
        sums = scores.sum(1, keepdim=True)
        off = (sums - 1).abs()
        near = off <= ROUNDING
        if self.settings.top_k:
            near = (sums > 0) & (sums <= 1 + ROUNDING)
        near &= off > EXACT
        return torch.where(near, scores / sums, scores)


def make_template(
    url: str, settings: EndpointSettings, secrets: Secrets, form: InputForm, input_shape: Shape,
    num_classes: int | None, features: Sequence[Feature] | None = None,
) -> Template:  # fmt: skip
    """Check the description and make the dialect of it. Sends nothing.

    Args:
        features: the columns, if it takes rows of a table.

    Raises:
        SpecError: the description contradicts itself.
    """
    if num_classes is None:
        raise SpecError(f"{url}: give the number of classes")
    if settings.classes and len(settings.classes) != num_classes:
        raise SpecError(
            f"endpoint.classes names {len(settings.classes)} classes, the audit has {num_classes}"
        )
    if settings.top_k is not None:
        check_top_k("endpoint.top_k", settings.top_k, num_classes)
    many = takes_many(settings)
    if not many and (settings.batch_size or 1) > 1:
        raise SpecError(
            "endpoint.batch_size: the body takes one row ($input); $inputs takes a list of them"
        )
    encoding = settings.encoding or ("png" if features is None else "record")
    if encoding not in (("record", "array") if features is not None else (*FORMATS, *NUMBERS)):
        of = "a table, this audit is of images" if features is None else "images, this is a table"
        raise SpecError(f'endpoint.encoding = "{encoding}" is for {of}: leave it out, or "array"')
    if encoding in FORMATS and (len(input_shape) != 3 or input_shape[0] not in (1, 3)):
        raise SpecError(
            f"endpoint.encoding: a {encoding} has 1 or 3 channels, the input is "
            f'{input_shape}; use "array" or "uint8"'
        )
    if encoding in FORMATS and form != InputForm():
        raise SpecError(
            f"an API that takes a {encoding} reads pixels, layout and scale off it: leave "
            "out layout, pixels, mean and std"
        )
    if encoding == "uint8":
        form = InputForm(layout=form.layout, pixels="0..255")
    return Template(
        url=url, settings=settings, body=secrets.fill(settings.body), encoding=encoding, form=form,
        arrangement=form.layout or "nchw", num_classes=num_classes, features=features,
        rows_per_request=(settings.batch_size or ROWS) if many else 1,
    )  # fmt: skip


def takes_many(settings: EndpointSettings) -> bool:
    """Whether a request holds a list of rows."""
    return _holds(settings.body, "$inputs")


def check_template(settings: EndpointSettings) -> None:
    """Refuse a description that is none, before anything is loaded.

    Raises:
        SpecError: a part is missing, or the JMESPath does not parse.
    """
    if settings.answers is None:
        raise SpecError(
            "endpoint.answers is needed: the JMESPath to the answers, as predictions[*]"
        )
    try:
        jmespath.compile(settings.answers)
    except JMESPathError as error:
        first = str(error).splitlines()[0].rstrip(":")
        raise SpecError(f"endpoint.answers = {settings.answers!r}: {first}") from error
    one, many = (_holds(settings.body, marker) for marker in ("$input", "$inputs"))
    if one == many:
        raise SpecError(
            'endpoint.body must hold "$input" (one row a request) or "$inputs" (a list of rows), '
            "and not both"
        )
    if many and not _holds(settings.row, "$input"):
        raise SpecError('endpoint.row must hold "$input": how one row of "$inputs" looks')


def _picture(image: Tensor, kind: str) -> str:
    """(C, H, W) uint8 -> the file in base64."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    buffer = io.BytesIO()
    options = {"quality": QUALITY, "subsampling": 0} if kind == "JPEG" else {"compress_level": 1}
    Image.fromarray(pixels.contiguous().numpy()).save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _holds(value: Any, marker: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(one, marker) for one in value.values())
    if isinstance(value, list):
        return any(_holds(one, marker) for one in value)
    return bool(value == marker)


def _fill(value: Any, marker: str, content: Any) -> Any:
    """The same JSON with `content` wherever the marker stands."""
    if isinstance(value, dict):
        return {key: _fill(one, marker, content) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, marker, content) for one in value]
    return content if value == marker else value
