"""No machine is queried without permission, and no secret is kept."""

import socket
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from clonecost.errors import SpecError
from clonecost.result import Authorisation
from clonecost.victims.endpoints import (
    EndpointSettings,
    check_endpoint,
    endpoint_victim,
    is_local,
    refusal,
)
from clonecost.victims.endpoints.settings import Secrets

PERMIT = {"owner": "Shop Ltd", "granted_by": "A. Buyer", "date": "2026-01-31", "scope": "staging"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if a name is resolved or a connection is opened."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was sent")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


HERE = ["http://127.0.0.1:8000/", "http://localhost/x", "https://[::1]:9/", "http://127.9.8.7/"]
ELSEWHERE = [
    "https://api.shop.example/v2/models/m", "http://localhost.shop.example/", "http://10.0.0.1/",
    "http://127.0.0.1.shop.example/", "http://192.168.0.1/", "http://0.0.0.0/", "http://[::]/",
    "http://shop.example/?h=localhost", "http://127.0.0.1@shop.example/", "http://2130706433/",
    "http://localhost:80@shop.example/", "http://shop.example#@localhost/", "http://127.1/",
    "http://127.0.0.1\\@shop.example/", "http://[::1/",
]  # fmt: skip


@pytest.mark.parametrize("url", HERE)
def test_this_machine_needs_no_permission(url: str) -> None:
    assert is_local(url)
    assert refusal(url, None) is None


@pytest.mark.parametrize("url", ELSEWHERE)
def test_any_other_does(url: str) -> None:
    assert not is_local(url)
    assert "`authorisation` with owner" in str(refusal(url, None))
    with pytest.raises(SpecError, match="no permission"):
        endpoint_victim(url, input_shape=(1, 8, 8), num_classes=3)


def test_a_permission_is_complete_and_not_in_the_future() -> None:
    url = "https://api.shop.example/v2/models/m"
    assert refusal(url, Authorisation(**PERMIT)) is None
    tomorrow = (date.today() + timedelta(days=1)).isoformat()
    early = refusal(url, Authorisation(**{**PERMIT, "date": tomorrow}))
    assert f"is in the future: got {tomorrow}" in str(early)
    assert Authorisation(**{**PERMIT, "date": date(2026, 1, 31)}).date == "2026-01-31"  # type: ignore[arg-type]
    for key, value in (("owner", ""), ("scope", ""), ("granted_by", ""), ("date", "last week")):
        with pytest.raises(ValidationError, match=rf"(?m)^{key}$"):
            Authorisation(**{**PERMIT, key: value})
    with pytest.raises(ValidationError, match="3 validation errors"):
        Authorisation(owner="me")  # type: ignore[call-arg]


BODY: dict[str, Any] = {"body": {"image": "$input"}, "answers": "p"}
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "user": ("https://me:pa55@shop.example/v2/models/m", {}, "holds a user's name"),
    "query": ("https://shop.example/c?api_key=pa55", BODY, "holds the secret api_key"),
    "token": ("https://shop.example/c?access_token=pa55", BODY, "holds the secret access_token"),
    "bare": ("https://shop.example/c", {**BODY, "headers": {"Authorization": "Bearer pa55"}},
             r"headers\.Authorization holds a secret"),
    "key": ("https://shop.example/c", {**BODY, "headers": {"x-api-key": "pa55"}}, "x-api-key hold"),
    "cookie": ("https://shop.example/c", {**BODY, "headers": {"Cookie": "pa55"}}, "Cookie holds"),
    "body": ("https://shop.example/c", {"body": {"image": "$input", "auth": {"key": "pa55"}},
                                        "answers": "p"}, r"body\.key holds a secret"),
    "agent": ("https://shop.example/c", {**BODY, "headers": {"user-agent": "Mozilla"}},
              "User-Agent"),
    "clear": ("http://shop.example/c", {**BODY, "headers": {"X-Key": "env:T"}}, "Use https"),
    "port": ("http://127.0.0.1:99999/v2/models/m", {}, "cannot be read"),
    "no host": ("http:///v2/models/m", {}, "is no address"),
    "other scheme": ("ftp://127.0.0.1/v2/models/m", {}, "is no address"),
    "not v2": ("http://127.0.0.1/v1/models/m", {}, "want http://HOST/v2/models/NAME"),
    "v2 query": ("http://127.0.0.1/v2/models/m?x=1", {}, "want http://HOST/v2/models/NAME"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_secrets_in_clear_and_malformed_addresses_are_refused(what: str) -> None:
    url, settings, sentence = WRONG[what]
    with pytest.raises(SpecError, match=sentence) as failed:
        check_endpoint(url, EndpointSettings(**settings))
    assert "pa55" not in str(failed.value)
    assert "Mozilla" not in str(failed.value)


def test_secrets_come_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EndpointSettings(
        headers={"Authorization": "Bearer env:SHOP_TOKEN", "X-Tenant": "7"},
        body={"image": "$input", "key": "env:SHOP_KEY"}, answers="p",
    )  # fmt: skip
    check_endpoint("https://shop.example/c", settings)
    monkeypatch.setenv("SHOP_TOKEN", "pa55\n")
    monkeypatch.delenv("SHOP_KEY", raising=False)
    with pytest.raises(SpecError, match="variable SHOP_KEY is not set"):
        Secrets(settings)
    monkeypatch.setenv("SHOP_KEY", "pa55word")
    secrets = Secrets(settings)
    assert secrets.fill(settings.headers) == {"Authorization": "Bearer pa55", "X-Tenant": "7"}
    assert secrets.fill(settings.body) == {"image": "$input", "key": "pa55word"}
    assert secrets.hide("you sent pa55 and pa55word") == "you sent env:SHOP_TOKEN and env:SHOP_KEY"
    monkeypatch.setenv("SHOP_KEY", "a\r\nInjected: 1")
    with pytest.raises(SpecError, match="SHOP_KEY holds characters that no header") as failed:
        Secrets(settings)
    assert "Injected" not in str(failed.value)
