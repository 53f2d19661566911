"""The environment of the audit: proxies and certificates, each fault in one sentence."""

from pathlib import Path

import pytest
from tests.support.toy_endpoint import Start

from clonecost.errors import SpecError
from clonecost.victims.endpoints.surroundings import certificates, proxy_of

AWAY = "https://shop.example/v2/models/m"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


def test_the_proxy_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of(AWAY) is None
    monkeypatch.setenv("ALL_PROXY", "http://me:pa55@proxy.example:3128")
    found = proxy_of(AWAY)
    assert found is not None
    assert (found.user, found.password, str(found)) == ("me", "pa55", "http://proxy.example:3128")
    monkeypatch.setenv("HTTPS_PROXY", "proxy2.example")
    assert str(proxy_of(AWAY)) == "http://proxy2.example:80"
    assert proxy_of("http://127.0.0.1:1/") is proxy_of("https://localhost/") is None
    monkeypatch.setenv("NO_PROXY", "shop.example")
    assert proxy_of(AWAY) is None


@pytest.mark.parametrize(
    "value", ["ftp://x", "http://", "://", "http://x:99999", "//", "socks9://x"]
)
def test_a_variable_that_names_no_proxy_is_one_sentence(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(SpecError, match=r"HTTPS_PROXY names no proxy.* NO_PROXY") as failed:
        proxy_of(AWAY)
    assert "\n" not in str(failed.value)


def test_a_socks_proxy_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clonecost.victims.endpoints.surroundings.find_spec", lambda name: None)
    monkeypatch.setenv("ALL_PROXY", "socks5://user:pa55@proxy.example:1080")
    with pytest.raises(
        SpecError, match=r"SOCKS proxy.*pip install socksio.*unset ALL_PROXY"
    ) as bad:
        proxy_of(AWAY)
    assert "pa55" not in str(bad.value)


def test_certificates_that_are_none_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: Start
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SpecError, match=r"SSL_CERT_FILE names a place without.*none\.pem"):
        certificates()
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(SpecError, match="SSL_CERT_FILE or SSL_CERT_DIR cannot be read"):
        certificates()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SpecError, match="SSL_CERT_DIR names"):
        certificates()
