"""The body of a request: JSON, a form with files, a file alone, or lines of CSV.

A header Content-Type of the settings goes before the usual one of the body, where the body allows.

Rows replace `$input` (one row a request) or `$inputs` (a list of rows, each in the form of `row`)
in the template of the body. `$input` may be a part of a longer text, as in a data URL.
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from torch import Tensor

from clonecost.errors import DropKey, SetKey, SpecError
from clonecost.victims.endpoints.row_encoding import FILES, RowEncoding
from clonecost.victims.endpoints.secret_values import texts
from clonecost.victims.endpoints.settings import EndpointSettings
from clonecost.victims.endpoints.wire import HEAD_LENGTH

ONE, MANY = "$input", "$inputs"
TYPE = "content-type"
COUNTED = ("content-length", "transfer-encoding", HEAD_LENGTH.lower())  # of each body
_ROWS = {"image": "row of this image", "table": "row of this table", "text": "text"}
_MARKERS = {ONE: re.compile(r"\$input\b"), MANY: re.compile(r"\$inputs\b")}


@dataclass(frozen=True, kw_only=True)
class RequestBody:
    """Makes the bodies of requests.

    Attributes:
        template: of the body, with secrets filled in.
        row: the form of each row of `$inputs`.
    """

    settings: EndpointSettings
    template: Any
    row: Any
    encoding: RowEncoding

    def __call__(self, inputs: Tensor) -> tuple[dict[str, str], bytes]:
        """(n, *input_shape) rows -> the headers and the body of one request."""
        match self.settings.send:
            case "multipart":
                return self._multipart(self.encoding.files(inputs))
            case "file":
                (content,) = self.encoding.files(inputs)
                return self._typed(str(self.encoding.media_type)), content
            case "csv":
                return self._typed("text/csv"), _csv(self.encoding.values(inputs))
        rows = self.encoding.values(inputs)
        if holds(self.template, MANY):
            body = fill(self.template, MANY, [fill(self.row, ONE, row) for row in rows])
        else:
            (row,) = rows
            body = fill(self.template, ONE, row)
        return self._typed("application/json"), json.dumps(body).encode()

    def _typed(self, usual: str) -> dict[str, str]:
        """The header with the media type; empty if the settings have one, which is sent."""
        stated = {name.lower() for name in self.settings.headers}
        return {} if TYPE in stated else {"Content-Type": usual}

    def _multipart(self, files: Sequence[bytes]) -> tuple[dict[str, str], bytes]:
        rows = [
            (f"row{number}.{self.encoding.name}", content, str(self.encoding.media_type))
            for number, content in enumerate(files)
        ]
        fields = self.template.items()
        form = httpx2.Request(  # for its body; this one is not sent
            "POST", "http://form",
            data={name: value if isinstance(value, str) else json.dumps(value)
                  for name, value in fields if value not in (ONE, MANY)},
            files=[(name, row) for name, value in fields if value in (ONE, MANY) for row in rows],
        )  # fmt: skip
        return {"Content-Type": form.headers["Content-Type"]}, form.read()


def takes_many(settings: EndpointSettings) -> bool:
    """Whether a request holds a list of rows."""
    return holds(settings.body, MANY)


def check_headers(settings: EndpointSettings) -> None:
    """Refuse headers that each request writes itself, by its body.

    Raises:
        SpecError: names the header.
    """
    for name in settings.headers:
        own_type = settings.body is None or settings.send == "multipart"
        if name.lower() in COUNTED or (name.lower() == TYPE and own_type):
            raise SpecError(
                f"endpoint.headers sets {name}, which each request writes itself to describe its "
                "body",
                DropKey(f"endpoint.headers.{name}"),
            )


def check_body(settings: EndpointSettings) -> None:
    """Refuse a template that does not state where rows are inserted.

    Raises:
        SpecError: names the key.
    """
    one, many = (holds(settings.body, marker) for marker in (ONE, MANY))
    if one == many:
        raise SpecError(
            "endpoint.body does not state where rows are inserted", SetKey("endpoint.body"),
            got='both "$input" and "$inputs"' if one else "neither",
            want='"$input" (one row a request) or "$inputs" (a list of rows)',
        )  # fmt: skip
    if many and not holds(settings.row, ONE):
        raise SpecError("endpoint.row does not state where a row is inserted",
                        SetKey("endpoint.row", ONE), got=repr(settings.row),
                        want='a form that holds "$input"')  # fmt: skip
    if many and not _whole(settings.body, MANY):
        raise SpecError("In endpoint.body, a list of rows stands in a longer text",
                        SetKey("endpoint.body"), want='"$inputs" alone')  # fmt: skip
    must = {
        "file": (settings.body == ONE, '"$input": the file is the whole body'),
        "csv": (settings.body in (ONE, MANY), '"$input" or "$inputs": the lines are all'),
        "multipart": (
            isinstance(settings.body, dict)
            and sum(value in (ONE, MANY) for value in settings.body.values()) == 1,
            'the fields of the form, one of them "$input" or "$inputs"',
        ),
    }  # fmt: skip
    fits, want = must.get(settings.send, (True, ""))
    if not fits:
        raise SpecError(
            f"endpoint.body does not fit a body that is sent as {settings.send}",
            SetKey("endpoint.body"), SetKey("endpoint.send", "json"),
            got=json.dumps(settings.body), want=want,
        )  # fmt: skip


def check_encoding(settings: EndpointSettings, encoding: RowEncoding) -> None:
    """Refuse an encoding of rows that cannot be sent in this way.

    Raises:
        SpecError: names the key.
    """
    name = encoding.name
    if settings.send in ("multipart", "file") and name not in FILES:
        kind = "image" if encoding.features is None else "table"
        kind = "text" if name == "text" else kind
        raise SpecError(
            f"endpoint.send is {settings.send}, and a {_ROWS[kind]} is no file",
            SetKey("endpoint.encoding", "png") if kind == "image" else SetKey("endpoint.send",
                                                                              "json"),
            got=f"endpoint.encoding {name}", want=" or ".join(FILES),
        )  # fmt: skip
    if settings.send == "csv" and name in FILES:
        raise SpecError("endpoint.send is csv, and an image file is no line of numbers",
                        SetKey("endpoint.encoding", "array"), SetKey("endpoint.encoding", "uint8"),
                        got=f"endpoint.encoding {name}")  # fmt: skip
    in_text = not (_whole(settings.body, ONE) and _whole(settings.row, ONE))
    if in_text and name not in (*FILES, "text"):
        raise SpecError('"$input" stands in a longer text, and a row is no text',
                        SetKey("endpoint.encoding", "png"), SetKey("endpoint.body"),
                        got=f"endpoint.encoding {name}")  # fmt: skip


def holds(value: Any, marker: str) -> bool:
    """Whether a piece of JSON holds the marker, also in a longer text."""
    return any(_MARKERS[marker].search(text) for _, text in texts(value))


def fill(value: Any, marker: str, content: Any) -> Any:
    """The same JSON with `content` in place of every marker.

    Example:
        >>> fill({"url": "data:image/png;base64,$input"}, "$input", "iVBO")
        {'url': 'data:image/png;base64,iVBO'}
    """
    if isinstance(value, dict):
        return {key: fill(one, marker, content) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, marker, content) for one in value]
    if value == marker:
        return content
    if isinstance(value, str) and isinstance(content, str):
        return _MARKERS[marker].sub(lambda _: content, value)
    return value


def _whole(value: Any, marker: str) -> bool:
    """Whether each text that holds the marker is the marker."""
    return all(text == marker or not _MARKERS[marker].search(text) for _, text in texts(value))


def _csv(rows: Sequence[Any]) -> bytes:
    """A line for each row, without a header; a missing value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        whole = [row] if isinstance(row, str) else row  # a text is one cell
        cells = list(whole.values()) if isinstance(whole, dict) else _flat(whole)
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue().encode()


def _flat(row: list[Any]) -> list[Any]:
    nested = row and isinstance(row[0], list)
    return [cell for part in row for cell in _flat(part)] if nested else row
