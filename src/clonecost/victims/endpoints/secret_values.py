"""The secrets of an endpoint: environment variables that a spec names, never their values."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import JsonValue

from clonecost.errors import Advice, CloneCostError, DropKey, SetKey, SpecError
from clonecost.victims.endpoints.hiding import Hider
from clonecost.victims.endpoints.permission import is_local
from clonecost.victims.endpoints.secret_shapes import NAMES, VARIABLE, is_secret
from clonecost.victims.endpoints.settings import EndpointSettings


def check_secrets(settings: EndpointSettings, url: str) -> None:
    """Refuse secrets in clear in the spec, which the run folder keeps, or on the network.

    Raises:
        SpecError: names the key, never its value.
    """
    for name, value in settings.headers.items():
        if name.lower() == "user-agent":
            raise SpecError("endpoint.headers sets User-Agent, by which an audit identifies itself",
                            DropKey(f"endpoint.headers.{name}"))  # fmt: skip
        named = NAMES.search(name) and not VARIABLE.search(value)
        if named or is_secret(value, header=True):
            raise _in_clear(f"endpoint.headers.{name}")
        if not (name.isascii() and value.isascii() and value.isprintable()):
            raise SpecError(f"endpoint.headers.{name} holds characters that no header may have",
                            want="printable ASCII")  # fmt: skip
    for part, template in (("body", settings.body), ("row", settings.row)):
        for name, value in texts(template):
            named = NAMES.search(name) and not VARIABLE.search(value) and not value.startswith("$")
            if named or is_secret(value):
                raise _in_clear(f"endpoint.{part}.{name}" if name else f"endpoint.{part}")
    if url.lower().startswith("http:") and not is_local(url) and variables(settings, url):
        raise SpecError(f"A request to {url} would send the secret in clear", Advice("use https"))


def variables(settings: EndpointSettings, url: str = "") -> list[str]:
    """Names of the environment variables that hold the secrets."""
    written = [
        *settings.headers.values(), urlsplit(url).query,
        *(value for part in (settings.body, settings.row) for _, value in texts(part)),
    ]  # fmt: skip
    return list(dict.fromkeys(name for text in written for name in VARIABLE.findall(text)))


class Secrets:
    """The values of the environment variables that the settings and the address name.

    Raises:
        SpecError: a variable is not set, empty, or holds characters that its place cannot have.
    """

    def __init__(self, settings: EndpointSettings, url: str = "") -> None:
        self._values = {name: os.environ.get(name, "").strip() for name in variables(settings, url)}
        in_headers = VARIABLE.findall(" ".join(settings.headers.values()))
        for name, value in self._values.items():
            if not value:
                raise SpecError(f"The environment variable {name} is not set, and the endpoint "
                                "needs it", Advice(f"set {name}"))  # fmt: skip
            if name in in_headers and not (value.isascii() and value.isprintable()):
                raise SpecError(f"The environment variable {name} holds characters that no header "
                                "may have", want="printable ASCII")  # fmt: skip
        self._hider = Hider(self._values)

    def fill(self, value: Any) -> Any:
        """The same JSON with the value in place of every env:NAME."""
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, str):
            return VARIABLE.sub(lambda match: self._values[match[1]], value)
        return value

    def fill_address(self, url: str) -> str:
        """The address with the value in place of every env:NAME of its query."""
        address, mark, query = url.partition("?")
        return address + mark + VARIABLE.sub(
            lambda match: quote(self._values.get(match[1], match[0]), safe=""), query
        )  # fmt: skip

    def hide(self, text: str) -> str:
        """The text with env:NAME in place of every value: a server may repeat the request."""
        return self._hider(text)

    def excerpt(self, text: str, length: int) -> str:
        """The beginning of a server's text on one line: hidden first, cut last."""
        return self._hider.excerpt(text, length)

    def hidden(self, error: CloneCostError) -> CloneCostError:
        """The same error with its secrets replaced in every field."""

        def hidden_field(value: object) -> object:
            return None if value is None else self.hide(str(value))

        other = type(error).__new__(type(error))
        CloneCostError.__init__(
            other, self.hide(error.what), *error.remedies,
            got=hidden_field(error.got), want=hidden_field(error.want),
        )  # fmt: skip
        return other


def texts(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a piece of JSON, after its key."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from texts(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one, name)
    elif isinstance(value, str):
        yield name, value


def _in_clear(key: str) -> SpecError:
    return SpecError(
        f"{key} holds a secret, and the run folder keeps the spec", SetKey(key, "env:NAME"),
        want="the name of an environment variable that holds the secret, as env:NAME",
    )  # fmt: skip
