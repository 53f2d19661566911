"""Other APIs, which a spec describes by a template of the request and the path of the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2
import jmespath
from jmespath.exceptions import JMESPathError
from torch import Tensor

from clonecost.errors import Advice, DropKey, SetKey, SpecError
from clonecost.safe_text import first_line
from clonecost.types import Feature, InputPrecision, Shape, Shown, check_top_k
from clonecost.victims.endpoints.answer_reading import AnswerReader
from clonecost.victims.endpoints.class_labels import ClassLabels
from clonecost.victims.endpoints.request_bodies import (
    RequestBody,
    check_body,
    check_encoding,
    takes_many,
)
from clonecost.victims.endpoints.row_encoding import row_encoding
from clonecost.victims.endpoints.secret_values import Secrets
from clonecost.victims.endpoints.settings import EndpointSettings
from clonecost.victims.input_form import InputForm

ROWS = 16  # rows of a request, by default
WORDS = {"json": "JSON", "multipart": "multipart form", "file": "file", "csv": "CSV"}


@dataclass(frozen=True, kw_only=True)
class Template:
    """One API that a spec describes; a `Dialect`."""

    url: str
    method: str
    body: RequestBody
    reader: AnswerReader
    rows_per_request: int

    @property
    def takes(self) -> InputPrecision:
        return self.body.encoding.takes

    @property
    def shows(self) -> Shown | None:
        return self.reader.shows

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.reader.labels.classes)

    @property
    def served(self) -> str:
        kind, top_k = self.reader.shows or ("probs", None)
        answers = {"label": "the predicted class", "top_k": f"the {top_k} most probable classes"}
        way, said = WORDS[self.body.settings.send], answers.get(kind, "answers")
        return f"{way} template, {self.body.encoding.name} in, {said} at {self.reader.path}"

    def request(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        return self.body(inputs)

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        return self.reader.read(response, rows)


def make_template(
    url: str, settings: EndpointSettings, secrets: Secrets, form: InputForm, input_shape: Shape,
    num_classes: int | None, features: Sequence[Feature] | None = None,
    outputs: str | None = None, *, text: bool = False,
) -> Template:  # fmt: skip
    """Check the description and make a dialect of it. Sends nothing.

    Args:
        features: the columns, if the API takes rows of a table.
        outputs: the form of the scores, as the owner states it.
        text: the API takes texts.

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
    encoding = row_encoding(settings.encoding, form, input_shape, features, text=text)
    check_encoding(settings, encoding)
    quote: Callable[[str, int], str] = secrets.excerpt
    return Template(
        url=url,
        method=settings.method,
        body=RequestBody(
            settings=settings, template=secrets.fill(settings.body),
            row=settings.row, encoding=encoding,
        ),
        reader=AnswerReader(
            url=url, path=settings.answers or "@", many=many, csv=settings.send == "csv",
            label=settings.label, score=settings.score,
            labels=ClassLabels(url, settings.classes, num_classes), top_k=settings.top_k,
            outputs=outputs, exact=features is not None or text, quote=quote,
        ),
        rows_per_request=(settings.batch_size or ROWS) if many else 1,
    )  # fmt: skip


def check_template(settings: EndpointSettings) -> None:
    """Refuse an incomplete description, before anything is loaded.

    Raises:
        SpecError: a key is missing or has no marker, or the JMESPath does not parse.
    """
    if settings.answers is None and settings.send != "csv":
        raise SpecError("endpoint.answers is missing", SetKey("endpoint.answers"),
                        want="the JMESPath to the answers, as predictions[*]; @ for the whole "
                        "answer")  # fmt: skip
    try:
        jmespath.compile(settings.answers or "@")
    except JMESPathError as error:
        first = first_line(error).rstrip(":")
        raise SpecError(f"endpoint.answers is no JMESPath ({first})", SetKey("endpoint.answers"),
                        got=repr(settings.answers)) from error  # fmt: skip
    check_body(settings)
