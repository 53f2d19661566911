"""The table `[endpoint]` of a spec, and the secrets that it names but never holds."""

import math
import os
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from clonecost.errors import SpecError
from clonecost.victims.endpoints.permission import SECRET, is_local

VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")
Encoding = Literal["png", "jpeg", "uint8", "array", "record"]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

RATE = 100.0  # rows a second, unless the owner allows more
# What may change while an audit goes on: none of it changes what is asked or answered.
FREE = {"headers", "batch_size", "concurrency", "timeout", "attempts", "latency"}


class EndpointSettings(BaseModel):
    """How an endpoint is spoken to; everything has a default for the Open Inference Protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: str | None = None  # when `victim` is a name of your own for it
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = {}  # a secret is written env:NAME
    # Open Inference Protocol v2:
    input: str | None = None  # names of the tensors; None: the only one
    output: str | None = None
    binary: bool | None = None  # None: if the server says that it can
    # any other JSON API:
    body: dict[str, JsonValue] | None = None  # "$input" is a row, "$inputs" a list of rows
    row: JsonValue = "$input"  # how each element of "$inputs" looks
    encoding: Encoding | None = None  # None: a png, of a row of a table a record
    answers: str | None = None  # JMESPath to the answers
    label: str = "label"  # where an answer lists its classes: the keys of each
    score: str = "score"
    classes: tuple[str, ...] = ()  # names in the order of the test set's labels
    top_k: Positive | None = None  # it names so many classes only
    # traffic:
    batch_size: Positive | None = None  # rows a request
    concurrency: Positive = 4  # requests at once
    timeout: Seconds = 30.0
    attempts: Positive = 5
    latency: Seconds | None = None  # of a request, if you know it: for `plan`


def check_secrets(settings: EndpointSettings, url: str) -> None:
    """Refuse secrets in clear, which the run folder would keep, and those that travel in clear.

    Raises:
        SpecError: with the name, never with the value.
    """
    for name, value in settings.headers.items():
        if name.lower() == "user-agent":
            raise SpecError(
                "endpoint.headers sets User-Agent: an audit always says who it is, so leave it out"
            )
        if SECRET.search(name) and not VARIABLE.search(value):
            raise SpecError(_in_clear(f"headers.{name}"))
    for name, value in _named(settings.body):
        if SECRET.search(name) and not VARIABLE.search(value) and not value.startswith("$"):
            raise SpecError(_in_clear(f"body.{name}"))
    if url.lower().startswith("http:") and not is_local(url) and variables(settings):
        raise SpecError(f"{url} would carry the secret in clear: use https")


def variables(settings: EndpointSettings) -> list[str]:
    """Names of the environment variables that hold the secrets."""
    texts = [*settings.headers.values(), *(value for _, value in _named(settings.body))]
    return list(dict.fromkeys(name for text in texts for name in VARIABLE.findall(text)))


class Secrets:
    """The values of the named variables, and how they are kept out of every message."""

    def __init__(self, settings: EndpointSettings) -> None:
        """Raises:
        SpecError: a variable is not set, empty, or cannot stand in a header.
        """
        self._values = {name: os.environ.get(name, "").strip() for name in variables(settings)}
        for name, value in self._values.items():
            if not value:
                raise SpecError(f"the environment variable {name} is not set; endpoint needs it")
            if not (value.isascii() and value.isprintable()):
                raise SpecError(f"the environment variable {name} holds what no header can carry")

    def fill(self, value: Any) -> Any:
        """The same JSON with every env:NAME replaced."""
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, str):
            return VARIABLE.sub(lambda found: self._values[found[1]], value)
        return value

    def hide(self, text: str) -> str:
        """The text without any of the values: a server may well repeat what it was sent."""
        for name, value in sorted(self._values.items(), key=lambda item: -len(item[1])):
            text = text.replace(value, f"env:{name}")
        return text


def without_nan(numbers: list[float]) -> list[float | None]:
    """The same with null for NaN, which JSON has not: a missing value of a table."""
    return [None if math.isnan(number) else number for number in numbers]


def _named(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a piece of JSON with the key that it stands under."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _named(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one, name)
    elif isinstance(value, str):
        yield name, value


def _in_clear(where: str) -> str:
    return (
        f"endpoint.{where} holds a secret, and the run folder keeps the spec: put the secret into "
        'an environment variable and write "env:ITS_NAME" instead'
    )
