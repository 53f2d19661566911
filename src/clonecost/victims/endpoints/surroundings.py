"""The proxy and the certificates that the environment of the audit names, checked and said."""

import os
import ssl
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2

from clonecost.errors import Advice, SpecError
from clonecost.victims.endpoints.permission import is_local

SCHEMES = ("http", "https", "socks5", "socks5h")
VARIABLES = {"SSL_CERT_FILE": Path.is_file, "SSL_CERT_DIR": Path.is_dir}


@dataclass(frozen=True)
class Proxy:
    """A proxy between the audit and the endpoint."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        """Its address without user and password."""
        return f"{self.scheme}://{self.host}:{self.port}"


def proxy_of(url: str) -> Proxy | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names for an address, NO_PROXY apart.

    An address of this machine has none.

    Raises:
        SpecError: the variable holds no address of a proxy, or one of a kind that needs a package.
    """
    if is_local(url):
        return None
    parts, found = urlsplit(url), getproxies()
    host = parts.hostname or ""
    scheme = parts.scheme.lower() if found.get(parts.scheme.lower()) else "all"
    named = found.get(scheme, "").strip()
    if not named or proxy_bypass(host if parts.port is None else f"{host}:{parts.port}"):
        return None
    variable = f"{scheme.upper()}_PROXY"
    try:
        address = urlsplit(named if "://" in named else f"http://{named}")
        kind, where, port = address.scheme.lower(), address.hostname, address.port
    except ValueError:
        kind, where, port = "", None, None
    if kind not in SCHEMES or not where:
        raise SpecError(
            f"The environment variable {variable} names no proxy", Advice(f"mend {variable}"),
            Advice(f"unset it, or list {host} in NO_PROXY"),
            want=" or ".join(f"{one}://HOST:PORT" for one in SCHEMES),
        )  # fmt: skip
    if kind.startswith("socks") and find_spec("socksio") is None:
        raise SpecError(
            f"The environment variable {variable} names a SOCKS proxy, which needs the package "
            "socksio", Advice("install it with `pip install socksio`"),
            Advice(f"unset {variable}, or list {host} in NO_PROXY"),
        )  # fmt: skip
    usual = {"http": 80, "https": 443}.get(kind, 1080)
    return Proxy(
        kind, where, port or usual, unquote(address.username or ""), unquote(address.password or "")
    )


def certificates() -> ssl.SSLContext:
    """The authorities that are trusted: of SSL_CERT_FILE or SSL_CERT_DIR, else the system's.

    Raises:
        SpecError: a variable names no file or folder of certificates.
    """
    for variable, exists in VARIABLES.items():
        named = os.environ.get(variable)
        if named and not exists(Path(named)):
            raise SpecError(
                f"The environment variable {variable} names a place without certificates",
                Advice(f"mend {variable}"), Advice(f"unset {variable}"), got=named,
            )  # fmt: skip
    try:
        return httpcore2.default_ssl_context()
    except (ssl.SSLError, OSError) as error:
        raise SpecError(
            "The certificates of SSL_CERT_FILE or SSL_CERT_DIR cannot be read",
            Advice("give a file in PEM form"), Advice("unset the variable"), got=error,
        ) from error  # fmt: skip
