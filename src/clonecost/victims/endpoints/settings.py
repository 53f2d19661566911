"""The table `[endpoint]` of a spec, and the environment variables that hold its secrets."""

import math
import os
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from clonecost.errors import Advice, DropKey, SetKey, SpecError
from clonecost.victims.endpoints.permission import SECRET, is_local

VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")
Encoding = Literal["png", "jpeg", "uint8", "array", "record"]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

RATE = 100.0  # rows a second, unless the owner allows more
# Keys that may change when a run resumes: no query and no answer depends on them.
FREE = {"headers", "batch_size", "concurrency", "timeout", "attempts", "latency"}


class EndpointSettings(BaseModel):
    """The protocol of an endpoint; all defaults fit the Open Inference Protocol.

    Example:
        >>> EndpointSettings(body={"images": "$inputs"}, answers="predictions", batch_size=32)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: str | None = None  # if `victim` is not the address
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = {}  # a secret is written env:NAME
    # Open Inference Protocol v2:
    input: str | None = None  # names of the tensors; None: the only one
    output: str | None = None
    binary: bool | None = None  # None: if the server lists the extension
    # any other JSON API:
    body: dict[str, JsonValue] | None = None  # "$input" is a row, "$inputs" a list of rows
    row: JsonValue = "$input"  # the form of each element of "$inputs"
    encoding: Encoding | None = None  # None: png for images, record for rows of a table
    answers: str | None = None  # JMESPath to the answers
    label: str = "label"  # in an answer that lists classes, the keys of each element
    score: str = "score"
    classes: tuple[str, ...] = ()  # names in the order of the test set's labels
    top_k: Positive | None = None  # number of classes in an answer; None: all
    # traffic:
    batch_size: Positive | None = None  # rows a request
    concurrency: Positive = 4  # requests at once
    timeout: Seconds = 30.0
    attempts: Positive = 5
    latency: Seconds | None = None  # seconds of a request, if known: for `plan`


def check_secrets(settings: EndpointSettings, url: str) -> None:
    """Refuse secrets in clear in the spec, which the run folder keeps, or on the network.

    Raises:
        SpecError: names the key, never its value.
    """
    for name, value in settings.headers.items():
        if name.lower() == "user-agent":
            raise SpecError("endpoint.headers sets User-Agent, by which an audit identifies itself",
                            DropKey(f"endpoint.headers.{name}"))  # fmt: skip
        if SECRET.search(name) and not VARIABLE.search(value):
            raise _in_clear(f"endpoint.headers.{name}")
    for name, value in _texts(settings.body):
        if SECRET.search(name) and not VARIABLE.search(value) and not value.startswith("$"):
            raise _in_clear(f"endpoint.body.{name}")
    if url.lower().startswith("http:") and not is_local(url) and variables(settings):
        raise SpecError(f"A request to {url} would send the secret in clear", Advice("use https"))


def variables(settings: EndpointSettings) -> list[str]:
    """Names of the environment variables that hold the secrets."""
    texts = [*settings.headers.values(), *(value for _, value in _texts(settings.body))]
    return list(dict.fromkeys(name for text in texts for name in VARIABLE.findall(text)))


class Secrets:
    """The values of the environment variables that the settings name.

    Raises:
        SpecError: a variable is not set, empty, or holds characters that no header may have.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self._values = {name: os.environ.get(name, "").strip() for name in variables(settings)}
        for name, value in self._values.items():
            if not value:
                raise SpecError(f"The environment variable {name} is not set, and the endpoint "
                                "needs it", Advice(f"set {name}"))  # fmt: skip
            if not (value.isascii() and value.isprintable()):
                raise SpecError(f"The environment variable {name} holds characters that no header "
                                "may have", want="printable ASCII")  # fmt: skip

    def fill(self, value: Any) -> Any:
        """The same JSON with the value in place of every env:NAME."""
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, str):
            return VARIABLE.sub(lambda match: self._values[match[1]], value)
        return value

    def hide(self, text: str) -> str:
        """The text with env:NAME in place of every value: a server may repeat the request."""
        for name, value in sorted(self._values.items(), key=lambda item: -len(item[1])):
            text = text.replace(value, f"env:{name}")
        return text


def without_nan(numbers: list[float]) -> list[float | None]:
    """The same with null, JSON's missing value, for NaN."""
    return [None if math.isnan(number) else number for number in numbers]


def _texts(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a piece of JSON, after its key."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, name)
    elif isinstance(value, str):
        yield name, value


def _in_clear(key: str) -> SpecError:
    return SpecError(
        f"{key} holds a secret, and the run folder keeps the spec", SetKey(key, "env:NAME"),
        want="the name of an environment variable that holds the secret, as env:NAME",
    )  # fmt: skip
