"""The permission to query an endpoint, checked before anything is sent."""

import ipaddress
import re
from datetime import date, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

from clonecost.errors import Advice, SetKey, SpecError
from clonecost.result import Authorisation
from clonecost.victims.endpoints.secret_shapes import NAMES, is_secret

OLDEST = 2 * 365  # days; an older permission states until when it holds
FILLED = re.compile(r"\s*(\w+\s+)?env:[A-Za-z_]\w*\s*$")


def is_url(text: str) -> bool:
    """Whether a victim's name is an HTTP address."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


# host:port/..., where no Python name can follow the colon; or a path of the Open Inference Protocol
_NO_SCHEME = re.compile(r"(\[[0-9a-f:]+\]|[\w.-]+):\d+(/.*)?|[\w.-]+/v2/models/.*", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def must_be_no_other_address(victim: str) -> None:
    """Refuse the name of a victim that is an address, and none of HTTP.

    Raises:
        SpecError: says what to write instead.

    Example:
        >>> must_be_no_other_address("http://127.0.0.1:8000/v2/models/net")
    """
    if is_url(victim):
        return
    if scheme := _OTHER_SCHEME.match(victim):
        rest = re.split(r"[/?#]", victim[scheme.end() :], maxsplit=1)[0].rpartition("@")[2]
        kind = "gRPC" if scheme[1].lower().startswith("grpc") else f"{scheme[1]}://"
        raise SpecError(
            f"The victim at {rest} is reached by {kind}, and an audit speaks HTTP only",
            Advice(f"give the HTTP address of the server, as http://{rest.partition(':')[0]}:8000"
                   "/v2/models/NAME (Triton, KServe and others serve both)"),
        )  # fmt: skip
    if _NO_SCHEME.fullmatch(victim):
        raise SpecError("The victim's address has no http:// or https:// before it",
                        Advice(f"write http://{victim.partition('?')[0]}"))  # fmt: skip


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
    remedy = Advice("write the secret in `endpoint.headers` or in the address's query as env:NAME, "
                    "the name of an environment variable (docs/endpoints.md)")  # fmt: skip
    if parts.username is not None or parts.password is not None:
        raise SpecError(f"The address of the endpoint at {host} holds a user's name", remedy)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if (NAMES.search(name) and not FILLED.match(value)) or is_secret(value, header=True):
            raise SpecError(f"The address of the endpoint at {host} holds the secret {name}",
                            remedy)  # fmt: skip
    if any(is_secret(unquote(part)) for part in [*parts.path.split("/"), parts.fragment]):
        raise SpecError(f"The path of the endpoint at {host} holds what looks like a secret",
                        remedy)  # fmt: skip


def refusal(url: str, authorisation: Authorisation | None) -> SpecError | None:
    """The reason not to query this endpoint; None if it may be queried.

    The address is one that `check_address` takes.

    A local endpoint needs no authorisation; any other needs one that holds today: not of the
    future, not past its end, and not older than two years unless it states its end.
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
    granted, today = date.fromisoformat(authorisation.date), date.today()
    if granted > today:
        return SpecError(f"The date of the authorisation for {host} is in the future",
                         SetKey("authorisation.date"), got=authorisation.date)  # fmt: skip
    if authorisation.until is None:
        if granted < today - timedelta(days=OLDEST):
            return SpecError(
                f"The authorisation for {host} is older than two years and states no end",
                Advice("ask the owner for a new one"), SetKey("authorisation.until"),
                got=authorisation.date,
            )  # fmt: skip
        return None
    until = date.fromisoformat(authorisation.until)
    if until < granted:
        return SpecError(f"The authorisation for {host} ends before its date",
                         SetKey("authorisation.until"), got=authorisation.until,
                         want=f"{authorisation.date} or later")  # fmt: skip
    if until < today:
        return SpecError(
            f"The authorisation for {host} has ended", Advice("ask the owner for a new one"),
            got=authorisation.until,
        )  # fmt: skip
    return None


def must_be_allowed(url: str, authorisation: Authorisation | None) -> None:
    """Refuse an endpoint that may not be queried.

    Raises:
        SpecError: the address is none, or the endpoint is not local, and its authorisation is
            missing or does not hold.
    """
    check_address(url)  # first: a permission is for a host
    if reason := refusal(url, authorisation):
        raise reason
