"""Other JSON APIs, which a spec describes by a template of the request and the path of the answers.

Rows replace `$input` (one row a request) or `$inputs` (a list of rows, each in the form of `row`)
in the template. A JMESPath expression selects the answers; the answer to a row is one of

    [0.1, 0.7, 0.2]                       probabilities, in the order of the classes
    {"cat": 0.7, "dog": 0.2}              probabilities by name
    [{"label": "cat", "score": 0.7}, ..]  a list, with the keys named in the settings
    "cat" or 1                            the predicted class only, by name or number
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import jmespath
import torch
from jmespath.exceptions import JMESPathError
from torch import Tensor

from clonecost.errors import Advice, DropKey, SetKey, SpecError, VictimError
from clonecost.types import Feature, InputPrecision, Shape, as_bytes, check_top_k
from clonecost.victims.endpoints.secret_values import Secrets
from clonecost.victims.endpoints.settings import Encoding, EndpointSettings, without_nan
from clonecost.victims.input_form import Arrangement, InputForm

ROWS = 16  # rows of a request, by default
QUALITY = 95  # JPEG quality, with a loss hardly above that of 8 bits
EXACT = 1e-12  # a sum this close to 1 is not rescaled: a division would change last bits
ROUNDING = 0.05  # answers printed with few digits, whose sum is this close to 1, are rescaled
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
        top_k = self.settings.top_k
        answers = f"the {top_k} most probable classes" if top_k else "answers"
        return f"JSON template, {self.encoding} in, {answers} at {self.settings.answers}"

    def request(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
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
            return [_image_file(image, FORMATS[self.encoding]) for image in as_bytes(inputs)]
        values = self.form.apply(inputs, self.arrangement)
        if self.features is not None:
            return [self._row(row) for row in values.tolist()]
        return (values.round().int() if self.encoding == "uint8" else values).tolist()

    def _row(self, values: list[float]) -> list[float | None] | dict[str, float | str | None]:
        """One row of a table as a list of numbers, or as a record with categories in words."""
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
            selected = jmespath.search(path, document)
        except (ValueError, RecursionError, JMESPathError) as error:
            raise VictimError(f"The answer of {self.url} is no JSON that {path} applies to",
                              SetKey("endpoint.answers")) from error  # fmt: skip
        if selected is None:
            got = f"the keys {', '.join(document)}" if isinstance(document, dict) else "no object"
            raise VictimError(f"The answer of {self.url} has nothing at {path}",
                              SetKey("endpoint.answers"), got=got)  # fmt: skip
        answers = selected if _holds(self.body, "$inputs") else [selected]
        if not isinstance(answers, list) or len(answers) != rows:
            got = f"{len(answers)} answers" if isinstance(answers, list) else "no list"
            raise VictimError(f"{self.url}: {path} selects the wrong number of answers",
                              SetKey("endpoint.answers"), got=got,
                              want=f"{rows} answers for {rows} rows")  # fmt: skip
        scores = torch.zeros(rows, self.num_classes, dtype=torch.float64)
        for k, answer in enumerate(answers):
            probs = self._probs(answer)
            scores[k, list(probs)] = torch.tensor(list(probs.values()), dtype=torch.float64)
        scores = self._rescaled(scores)
        return scores if self.features is not None else scores.float()

    def _probs(self, answer: Any) -> dict[int, float]:
        """Class number -> probability, from the answer to one row."""
        label, score = self.settings.label, self.settings.score
        if isinstance(answer, str | int):
            return {self._class(answer): 1.0}
        if isinstance(answer, list) and all(isinstance(one, dict) for one in answer):
            try:
                answer = {one[label]: one[score] for one in answer}
            except KeyError as error:
                raise VictimError(
                    f"An answer of {self.url} has no key {error}", SetKey("endpoint.label"),
                    SetKey("endpoint.score"), got=", ".join(map(str, answer[0])),
                ) from error  # fmt: skip
        if isinstance(answer, list):
            answer = dict(enumerate(answer))
        if not isinstance(answer, dict) or not all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in answer.values()
        ):
            raise VictimError(
                f"The answer of {self.url} at {self.settings.answers} has the wrong form",
                SetKey("endpoint.answers"), got=json.dumps(answer)[:80],
                want="numbers, or numbers by name",
            )  # fmt: skip
        probs = {self._class(key): float(value) for key, value in answer.items()}
        expected = self.settings.top_k or self.num_classes
        if len(probs) != min(expected, self.num_classes):
            raise VictimError(
                f"The answer of {self.url} has the wrong number of classes",
                SetKey("endpoint.top_k", len(probs)), SetKey("classes"),
                got=len(probs), want=expected,
            )  # fmt: skip
        return probs

    def _class(self, label: str | int) -> int:
        """The class number of a label: its position in `endpoint.classes`, or the number itself."""
        classes = self.settings.classes
        if isinstance(label, str) and label in classes:
            return classes.index(label)
        number = int(label) if str(label).isdecimal() else -1
        if not 0 <= number < self.num_classes:
            known = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "") or "none"
            raise VictimError(
                f"The answer of {self.url} has an unknown class",
                Advice("list the names in `endpoint.classes`, in the order of the test set's "
                       "labels"), got=repr(label),
                want=f"a name in endpoint.classes ({known}) or a number below {self.num_classes}",
            )  # fmt: skip
        return number

    def _rescaled(self, scores: Tensor) -> Tensor:
        """Rows whose sum differs from 1 by rounding, or by missing classes, divided by the sum."""
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
    """Check the description and make a dialect of it. Sends nothing.

    Args:
        features: the columns, if the API takes rows of a table.

    Raises:
        SpecError: the description contradicts itself, or `num_classes` is None.
    """
    if num_classes is None:
        raise SpecError(f"The number of classes of {url} is missing", SetKey("classes"))
    if settings.classes and len(settings.classes) != num_classes:
        raise SpecError(
            "endpoint.classes has another length than the audit's classes",
            SetKey("endpoint.classes"), got=len(settings.classes), want=num_classes,
        )  # fmt: skip
    if settings.top_k is not None:
        check_top_k("endpoint.top_k", settings.top_k, num_classes)
    many = takes_many(settings)
    if not many and (settings.batch_size or 1) > 1:
        raise SpecError(
            "endpoint.body takes one row a request ($input), and endpoint.batch_size is "
            f"{settings.batch_size}", DropKey("endpoint.batch_size"),
            Advice("write $inputs in `endpoint.body`, which takes a list of rows"),
        )  # fmt: skip
    encoding = settings.encoding or ("png" if features is None else "record")
    fitting = ("record", "array") if features is not None else (*FORMATS, *NUMBERS)
    if encoding not in fitting:
        kind = "images" if features is None else "a table"
        raise SpecError(f"endpoint.encoding does not fit {kind}", DropKey("endpoint.encoding"),
                        SetKey("endpoint.encoding", "array"), got=repr(encoding),
                        want=", ".join(fitting))  # fmt: skip
    if encoding in FORMATS and (len(input_shape) != 3 or input_shape[0] not in (1, 3)):
        raise SpecError(
            f"A {encoding} has 1 or 3 channels, and the input shape does not fit",
            SetKey("endpoint.encoding", "array"), SetKey("endpoint.encoding", "uint8"),
            got=input_shape, want="(1, H, W) or (3, H, W)",
        )  # fmt: skip
    if encoding in FORMATS and form != InputForm():
        raise SpecError(
            f"A {encoding} file states its own layout and range",
            Advice("leave layout, pixels, channels, mean and std out"),
        )
    if encoding == "uint8":
        form = replace(form, pixels="0..255", mean=(), std=())
    return Template(
        url=url, settings=settings, body=secrets.fill(settings.body), encoding=encoding, form=form,
        arrangement=form.layout or "nchw", num_classes=num_classes, features=features,
        rows_per_request=(settings.batch_size or ROWS) if many else 1,
    )  # fmt: skip


def takes_many(settings: EndpointSettings) -> bool:
    """Whether a request holds a list of rows."""
    return _holds(settings.body, "$inputs")


def check_template(settings: EndpointSettings) -> None:
    """Refuse an incomplete description, before anything is loaded.

    Raises:
        SpecError: a key is missing or has no marker, or the JMESPath does not parse.
    """
    if settings.answers is None:
        raise SpecError("endpoint.answers is missing", SetKey("endpoint.answers"),
                        want="the JMESPath to the answers, as predictions[*]")  # fmt: skip
    try:
        jmespath.compile(settings.answers)
    except JMESPathError as error:
        first = str(error).splitlines()[0].rstrip(":")
        raise SpecError(f"endpoint.answers is no JMESPath ({first})", SetKey("endpoint.answers"),
                        got=repr(settings.answers)) from error  # fmt: skip
    one, many = (_holds(settings.body, marker) for marker in ("$input", "$inputs"))
    if one == many:
        raise SpecError(
            "endpoint.body does not state where rows are inserted", SetKey("endpoint.body"),
            got='both "$input" and "$inputs"' if one else "neither",
            want='"$input" (one row a request) or "$inputs" (a list of rows)',
        )  # fmt: skip
    if many and not _holds(settings.row, "$input"):
        raise SpecError("endpoint.row does not state where a row is inserted",
                        SetKey("endpoint.row", "$input"), got=repr(settings.row),
                        want='a form that holds "$input"')  # fmt: skip


def _image_file(image: Tensor, kind: str) -> str:
    """(C, H, W) uint8 -> a file of this kind in base64."""
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
    """The same JSON with `content` in place of every marker."""
    if isinstance(value, dict):
        return {key: _fill(one, marker, content) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, marker, content) for one in value]
    return content if value == marker else value
