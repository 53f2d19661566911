"""Whose machine is it, and may we ask it? Decided before anything is sent."""

import ipaddress
import re
from datetime import date
from urllib.parse import parse_qsl, urlsplit

from clonecost.errors import SpecError
from clonecost.result import Authorisation

# Names of headers, parameters and fields whose values are secrets.
SECRET = re.compile(
    r"auth|cookie|api.?key|(^|[-_])key$|token|secret|passw|credential|signature|^sig$",
    re.IGNORECASE,
)


def is_url(text: str) -> bool:
    """Whether a victim's name is an address on the web."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def is_local(url: str) -> bool:
    """Whether the address is this very machine: `localhost` or a loopback address, no other name.

    No name is looked up: what it leads to can change between the look and the question. Two parsers
    must find the same host, the client's own among them.
    """
    import httpx2  # --help does not wait for it

    try:
        host = httpx2.URL(url).host
        if host != urlsplit(url).hostname:
            return False
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (ValueError, httpx2.InvalidURL):
        return False


def check_address(url: str) -> None:
    """Refuse an address that is none, or that carries a secret (it would stand in every report).

    Raises:
        SpecError: with the part that is wrong; never with the secret.
    """
    import httpx2

    try:
        parts = urlsplit(url)
        host, _, _ = parts.hostname, parts.port, httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL) as error:
        raise SpecError(f"the victim's address cannot be read: {error}") from error
    if not is_url(url) or not host:
        raise SpecError(f"{url!r} is no address of an endpoint: want http://HOST/... or https://")
    remedy = "put it into a header that names an environment variable (see docs/endpoints.md)"
    if parts.username is not None or parts.password is not None:
        raise SpecError(f"the address of the endpoint at {host} holds a user's name: {remedy}")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if SECRET.search(name):
            raise SpecError(
                f"the address of the endpoint at {host} holds the secret {name}: {remedy}"
            )


def refusal(url: str, authorisation: Authorisation | None) -> str | None:
    """Why this endpoint must not be asked; None: it may be."""
    if is_local(url):
        return None
    host = re.split(r"[/?#]", url, maxsplit=3)[2].rpartition("@")[2]  # as written
    if authorisation is None:
        return (
            f"{host} is not this machine, and the audit names no permission to clone what it "
            "serves: get one from the owner in writing, and write [authorisation] with owner, "
            "granted_by, date and scope into the spec file"
        )
    if date.fromisoformat(authorisation.date) > date.today():
        return f"the authorisation for {host} is dated {authorisation.date}, a day yet to come"
    return None


def must_be_allowed(url: str, authorisation: Authorisation | None) -> None:
    """Raises:
    SpecError: the endpoint is not local and nobody allowed that it is asked.
    """
    if reason := refusal(url, authorisation):
        raise SpecError(reason)
