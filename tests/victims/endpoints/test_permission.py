"""No machine is queried without permission, and no secret is kept."""

import socket
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clonecost.config import make_spec
from clonecost.errors import SpecError
from clonecost.result import Authorisation
from clonecost.victims import load_victim
from clonecost.victims.endpoints import (
    EndpointSettings,
    check_endpoint,
    endpoint_victim,
    is_local,
    must_be_no_other_address,
    refusal,
)
from clonecost.victims.endpoints.secret_values import Secrets

PERMIT: dict[str, Any] = {
    "owner": "Shop Ltd",
    "granted_by": "A. Buyer",
    "date": (date.today() - timedelta(days=300)).isoformat(),
    "scope": "staging",
}


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
    # one that two parsers read differently is refused as an address, before the permission
    with pytest.raises(SpecError, match=r"no permission|holds a user's name|cannot be read"):
        endpoint_victim(url, input_shape=(1, 8, 8), num_classes=3)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000/predict", "shop.example", "", "ftp://shop.example"]
)
def test_what_is_no_address_is_said_before_the_permission(url: str) -> None:
    with pytest.raises(SpecError, match=r"no address of an endpoint|cannot be read"):
        endpoint_victim(
            "shop", input_shape=(1, 8, 8), num_classes=3, settings=EndpointSettings(url=url or "x")
        )


def test_a_permission_is_complete_and_not_in_the_future() -> None:
    url = "https://api.shop.example/v2/models/m"
    assert refusal(url, Authorisation(**PERMIT)) is None
    tomorrow = (date.today() + timedelta(days=1)).isoformat()
    early = refusal(url, Authorisation(**{**PERMIT, "date": tomorrow}))
    assert f"is in the future: got {tomorrow}" in str(early)
    assert Authorisation(**{**PERMIT, "date": date(2026, 1, 31)}).date == "2026-01-31"
    for key, value in (("owner", ""), ("scope", ""), ("granted_by", ""), ("date", "last week")):
        with pytest.raises(ValidationError, match=rf"(?m)^{key}$"):
            Authorisation(**{**PERMIT, key: value})
    with pytest.raises(ValidationError, match="3 validation errors"):
        Authorisation(owner="me")  # type: ignore[call-arg]


def test_a_permission_ends_and_grows_old() -> None:
    url, today = "https://api.shop.example/v2/models/m", date.today()

    def granted(days: int, **more: Any) -> str:
        said = {**PERMIT, "date": (today - timedelta(days=days)).isoformat(), **more}
        return str(refusal(url, Authorisation(**said)))

    later, before = ((today + timedelta(days=n)).isoformat() for n in (1, -1))
    assert granted(700) == granted(0) == granted(0, until=today.isoformat()) == "None"
    assert granted(9_000, until=later) == "None"
    assert "is older than two years and states no end" in granted(731)
    assert "states no end" in str(refusal(url, Authorisation(**{**PERMIT, "date": "1999-01-01"})))
    assert "has ended" in granted(9, until=before)
    assert "ends before its date" in granted(9, until=(today - timedelta(days=10)).isoformat())
    for key in ("owner", "granted_by", "scope"):
        for blank in (" ", "\t\n", "-", "..."):
            with pytest.raises(ValidationError, match=rf"(?m)^{key}$"):
                Authorisation(**{**PERMIT, key: blank})
    for rows in (0, -1):
        with pytest.raises(ValidationError, match=r"(?m)^rows$"):
            Authorisation(**PERMIT, rows=rows)


DAYS = st.integers(-1000, 1000)  # from today


@settings(max_examples=100)
@given(DAYS, st.none() | DAYS)
@example(-730, None)
@example(-731, None)
@example(0, None)
@example(1, None)
@example(-730, 0)
@example(-731, 0)
@example(0, 0)
@example(1, 1)
@example(-1, -1)
def test_only_a_permission_that_holds_today_is_one(granted: int, until: int | None) -> None:
    today = date.today()

    def day(offset: int) -> str:
        return (today + timedelta(days=offset)).isoformat()

    ends = None if until is None else day(until)
    permit = Authorisation(**{**PERMIT, "date": day(granted)}, until=ends)
    refused = refusal("https://shop.example/v2/models/m", permit)
    if date.today() != today:
        return  # midnight has passed
    holds = granted <= 0 and (granted >= -730 if until is None else until >= max(0, granted))
    assert (refused is None) == holds


OTHERS = {
    "grpc://triton.example:8001": "by gRPC.*http://triton.example:8000",
    "grpcs://triton.example/x": "by gRPC",
    "ws://shop.example/socket": "by ws://",
    "localhost:8000": r"has no http://.* Write http://localhost:8000",
    "localhost:8000/v2/models/net": "Write http://localhost:8000/v2/models/net",
    "127.0.0.1:80/x": "has no http://",
    "[::1]:9000": "has no http://",
    "shop.example/v2/models/net": "has no http://",
}


@pytest.mark.parametrize("victim", OTHERS)
def test_another_kind_of_address_is_named(victim: str) -> None:
    for refused in (
        lambda: load_victim(victim, input_shape=(1, 8, 8), num_classes=3),
        lambda: make_spec({"victim": victim, "test": "digits"}),
    ):
        with pytest.raises(SpecError, match=OTHERS[victim]):
            refused()


@pytest.mark.parametrize("victim", ["own:net", "package.module:Net()", "a/b.onnx", "digits-lenet"])
def test_other_victims_are_no_addresses(victim: str) -> None:
    must_be_no_other_address(victim)


BODY: dict[str, Any] = {"body": {"image": "$input"}, "answers": "p"}
TOKEN = "sk-pa55word0123456789abcdef"
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
    "characters": ("https://shop.example/c", {**BODY, "headers": {"X-Tenant": "Käse"}},
                   r"headers\.X-Tenant holds characters that no header may have"),
    "line break": ("https://shop.example/c", {**BODY, "headers": {"X-Tenant": "7\r\nX-Other: 1"}},
                   "no header may have: want printable ASCII"),
    "clear": ("http://shop.example/c", {**BODY, "headers": {"X-Key": "env:T"}}, "Use https"),
    "row": ("https://shop.example/c", {**BODY, "row": {"x": "$input", "key": "pa55"}}, "row.key"),
    "shape in a row": ("https://shop.example/c", {**BODY, "row": ["$input", TOKEN]},
                       "endpoint.row holds a secret"),
    "shape in a body": ("https://shop.example/c", {"body": {"image": "$input", "user": TOKEN},
                                                   "answers": "p"}, "body.user holds a secret"),
    "shape in a header": ("https://shop.example/c", {**BODY, "headers": {"X-Tenant": TOKEN}},
                          "X-Tenant holds a secret"),
    "shape in a query": (f"https://shop.example/c?tenant={TOKEN}", BODY, "the secret tenant"),
    "shape in a path": (f"https://shop.example/{TOKEN}/c", BODY, "path .* looks like a secret"),
    "port": ("http://127.0.0.1:99999/v2/models/m", {}, "cannot be read"),
    "no host": ("http:///v2/models/m", {}, "is no address"),
    "other scheme": ("ftp://127.0.0.1/v2/models/m", {}, "is no address"),
    "not v2": ("http://127.0.0.1/v1/models/m", {}, "want http://HOST/v2/models/NAME"),
    "v2 query": ("http://127.0.0.1/v2/models/m?x=1", {}, "want http://HOST/v2/models/NAME"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_secrets_in_clear_and_malformed_addresses_are_refused(what: str) -> None:
    url, described, sentence = WRONG[what]
    with pytest.raises(SpecError, match=sentence) as failed:
        check_endpoint(url, EndpointSettings(**described))
    assert "pa55" not in str(failed.value)
    assert "Mozilla" not in str(failed.value)


def test_secrets_come_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    described = EndpointSettings(
        headers={"Authorization": "Bearer env:SHOP_TOKEN", "X-Tenant": "7"},
        body={"image": "$input", "key": "env:SHOP_KEY"}, answers="p",
    )  # fmt: skip
    check_endpoint("https://shop.example/c", described)
    monkeypatch.setenv("SHOP_TOKEN", "pa55\n")
    monkeypatch.delenv("SHOP_KEY", raising=False)
    with pytest.raises(SpecError, match="variable SHOP_KEY is not set"):
        Secrets(described)
    monkeypatch.setenv("SHOP_KEY", "pa55word")
    secrets = Secrets(described)
    assert secrets.fill(described.headers) == {"Authorization": "Bearer pa55", "X-Tenant": "7"}
    assert secrets.fill(described.body) == {"image": "$input", "key": "pa55word"}
    assert secrets.hide("you sent pa55 and pa55word") == "you sent env:SHOP_TOKEN and env:SHOP_KEY"
    monkeypatch.setenv("SHOP_TOKEN", "a\r\nInjected: 1")
    with pytest.raises(SpecError, match="SHOP_TOKEN holds characters that no header") as failed:
        Secrets(described)
    assert "Injected" not in str(failed.value)
