"""The permission to query an endpoint, checked before anything is sent."""

import ipaddress
import re
from datetime import date
from urllib.parse import parse_qsl, urlsplit

from clonecost.errors import Advice, SetKey, SpecError
from clonecost.result import Authorisation

# Names of headers, parameters and fields whose values are secrets.
SECRET = re.compile(
    r"auth|cookie|api.?key|(^|[-_])key$|token|secret|passw|credential|signature|^sig$",
    re.IGNORECASE,
)


def is_url(text: str) -> bool:
    """Whether a victim's name is an HTTP address."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def is_local(url: str) -> bool:
    """Whether the address is this machine: `localhost` or a loopback address, no other name.

    No name is resolved: its address can change between the check and the query. Two parsers, the
    HTTP client's among them, must find the same host.
    """
    import httpx2  # not at the top: the command line's help imports this module

    try:
        host = httpx2.URL(url).host
        if host != urlsplit(url).hostname:
            return False
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (ValueError, httpx2.InvalidURL):
        return False


def check_address(url: str) -> None:
    """Refuse an address that is malformed, or holds a secret (every report would print it).

    Raises:
        SpecError: names the wrong part, never the secret.
    """
    import httpx2

    try:
        parts = urlsplit(url)
        host, _, _ = parts.hostname, parts.port, httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL) as error:
        raise SpecError(f"The victim's address cannot be read: {error}") from error
    if not is_url(url) or not host:
        raise SpecError("The address is no address of an endpoint", got=repr(url),
                        want="http://HOST/... or https://HOST/...")  # fmt: skip
    remedy = Advice("write the secret in `endpoint.headers` as env:NAME, the name of an "
                    "environment variable (docs/endpoints.md)")  # fmt: skip
    if parts.username is not None or parts.password is not None:
        raise SpecError(f"The address of the endpoint at {host} holds a user's name", remedy)
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if SECRET.search(name):
            raise SpecError(f"The address of the endpoint at {host} holds the secret {name}",
                            remedy)  # fmt: skip


def refusal(url: str, authorisation: Authorisation | None) -> SpecError | None:
    """The reason not to query this endpoint; None if it may be queried.

    A local endpoint needs no authorisation; any other needs one whose date is not in the future.
    """
    if is_local(url):
        return None
    host = re.split(r"[/?#]", url, maxsplit=3)[2].rpartition("@")[2]  # as written
    if authorisation is None:
        return SpecError(
            f"{host} is not this machine, and the audit states no permission to clone its model",
            Advice("get one from the owner in writing, and state it as `authorisation` with "
                   "owner, granted_by, date and scope"),
        )  # fmt: skip
    if date.fromisoformat(authorisation.date) > date.today():
        return SpecError(f"The date of the authorisation for {host} is in the future",
                         SetKey("authorisation.date"), got=authorisation.date)  # fmt: skip
    return None


def must_be_allowed(url: str, authorisation: Authorisation | None) -> None:
    """Refuse an endpoint that may not be queried.

    Raises:
        SpecError: the endpoint is not local, and its authorisation is missing or in the future.
    """
    if reason := refusal(url, authorisation):
        raise reason
