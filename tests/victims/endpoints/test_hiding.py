"""No piece of a secret leaves a server's error text, however it is encoded and wherever it is."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clonecost.victims.endpoints.hiding import SEARCHED, WINDOW, Hider

ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "json": json.dumps,
    "json, unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json, slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "repr": repr,
    "repr of a header": lambda text: repr({"Authorization": f"Bearer {text}"}),
    "repr of both quotes": lambda text: repr(f'it\'s "{text}"'),
    "repr of bytes": lambda text: repr(text.encode()),
    "repr in json": lambda text: json.dumps({"error": repr(text)}),
    "html": html.escape,
    "html of json": lambda text: html.escape(json.dumps(text)),
    "percent": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of a user": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64, url": lambda text: base64.urlsafe_b64encode(f"u:{text}!".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "capitals": str.upper,
}
secrets = st.one_of(
    st.text(min_size=WINDOW, max_size=60),
    st.text("abc+/=_-'\"\\ \n\t<>&%$", min_size=WINDOW, max_size=60),
    st.from_regex(r"sk-[A-Za-z0-9]{20,60}", fullmatch=True),
)


def windows(text: str) -> set[str]:
    return {text[at : at + WINDOW] for at in range(len(text) - WINDOW + 1)}


@settings(max_examples=150)
@given(secret=secrets, how=st.sampled_from(sorted(ECHOES)), offset=st.integers(0, 260),
       cut=st.integers(8, 60), again=st.integers(1, 3))  # fmt: skip
@example(secret="pa'55\"word\\", how="repr", offset=190, cut=200, again=1)
@example(secret="sk-abcdefghijklmnopqrstuvwxyz", how="as it is", offset=3, cut=20, again=1)
@example(secret="x" * 30, how="base64 of a user", offset=195, cut=200, again=3)
def test_no_piece_of_a_secret_is_left(
    secret: str, how: str, offset: int, cut: int, again: int
) -> None:
    secret = secret.strip()
    if len(secret) < WINDOW:
        return
    hider = Hider({"TOKEN": secret})
    echo = ECHOES[how](secret)
    # the server may cut the text itself, so that half of a secret comes
    for body in (("~" * offset + echo) * again, ("~" * offset + echo)[: offset + cut]):
        for shown in (hider.excerpt(body, 200), hider(body)):
            left = windows(shown) & (windows(secret) | windows(" ".join(secret.split())))
            assert {one for one in left if set(one) - {"~"}} == set()


@pytest.mark.parametrize(
    "how", ["json", "json, slashes", "repr", "html", "percent", "form", "base64", "hex"]
)
def test_an_encoded_secret_is_not_there_in_its_encoding_either(how: str) -> None:
    secret = "s3cr3t-K'ey\"with\\all<of>it&more/+=%42"
    echo = ECHOES[how](secret)
    inner = windows(echo.strip("'\"")[:-4])  # the end of base64 depends on what follows
    for offset in (0, 150, 180, 195, 199, SEARCHED - 40, SEARCHED - 9):
        shown = Hider({"TOKEN": secret}).excerpt("~" * offset + echo + "~" * 99, 5000)
        assert windows(shown) & inner == set()


def test_what_is_hidden_is_named_and_the_rest_is_kept() -> None:
    hider = Hider({"TOKEN": "abcdefghij", "KEY": "abcdefghijklm", "SHORT": "7"})
    assert hider.excerpt("a:\n abcdefghijklm, abcdefghij; 7!", 200) == (
        "a: env:KEY, env:TOKEN; env:SHORT!"
    )
    assert Hider({}).excerpt("x" * 300, 200) == "x" * 200 + "..."
    assert hider("") == ""
