"""Secrets are taken out of a text before it is cut: one function for every message and record.

A server may repeat a request in its error text, and may encode or shorten it first. Three passes:

1. The secret and its encoded forms are replaced in the whole text.
2. Remaining pieces of `WINDOW` or more characters are replaced, as those of a text that the server
   or a library has cut.
3. Only then the text is put on one line and cut.
"""

import base64
import html
import json
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus

WINDOW = 8  # characters of a secret that may not stand anywhere
SEARCHED = 4096  # characters that are searched for pieces; no more is ever shown
SHORT = 4  # a shorter value is replaced only as it is: its encoded forms are common words


class Hider:
    """Replaces secrets in texts.

    Args:
        values: name of the environment variable -> its value.

    Example:
        >>> Hider({"TOKEN": "pa55word-pa55word"})("you sent 'pa55word-pa55word'")
        "you sent 'env:TOKEN'"
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._names = list(values)
        found = [
            (form, k)
            for k, value in enumerate(values.values())
            for form in (_forms(value) if len(value) >= SHORT else [value])
        ]
        self._forms = sorted(found, key=lambda pair: -len(pair[0]))
        self._pieces = {
            form[at : at + WINDOW]: k
            for form, k in self._forms
            for at in range(len(form) - WINDOW + 1)
        }

    def __call__(self, text: str) -> str:
        """The text with env:NAME for every secret; its first `SEARCHED` characters only."""
        if not self._names:
            return text[:SEARCHED]
        # marks of one private character: no later replacement finds anything in them
        text = "".join(" " if 0xE000 <= ord(one) < 0xF900 else one for one in text)
        for form, k in self._forms:
            text = text.replace(form, chr(0xE000 + k))
        text = self._without_pieces(text[:SEARCHED])
        for k, name in enumerate(self._names):
            text = text.replace(chr(0xE000 + k), f"env:{name}")
        return text

    def excerpt(self, text: str, length: int) -> str:
        """The beginning of a text without secrets, on one line."""
        words = " ".join(self(" ".join(self(text).split())).split())
        return words if len(words) <= length else f"{words[:length]}..."

    def _without_pieces(self, text: str) -> str:
        parts, start, at = [], 0, 0
        last = len(text) - WINDOW
        while at <= last:
            k = self._pieces.get(text[at : at + WINDOW])
            if k is None:
                at += 1
                continue
            end = at + 1
            while end <= last and text[end : end + WINDOW] in self._pieces:
                end += 1
            parts += [text[start:at], chr(0xE000 + k)]
            start = at = end - 1 + WINDOW
        return "".join([*parts, text[start:]])


def _forms(secret: str) -> set[str]:
    """The secret as it is, and as programs write it: escaped, quoted and encoded."""
    raw = secret.encode("utf-8", "surrogateescape")
    escaped = {form for escape in _ESCAPES for form in _applied(escape, secret)}
    twice = {form for escape in _ESCAPES for one in escaped for form in _applied(escape, one)}
    encoded = {raw.hex(), raw.hex().upper(), *_in_base64(raw)}
    forms = {secret, secret.lower(), secret.upper(), *escaped, *twice, *encoded}
    lines = {" ".join(form.split()) for form in forms}
    return {form for form in forms | lines if len(form) >= SHORT}


def _applied(escape: Callable[[str], str], text: str) -> Iterator[str]:
    try:
        yield escape(text)
    except UnicodeError:  # bytes of the environment that are no text
        return


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _lower_hex(text: str) -> str:
    """%2B as %2b."""
    return "".join(
        quote(one, safe="").lower() if quote(one, safe="") != one else one for one in text
    )


_ESCAPES: tuple[Callable[[str], str], ...] = (
    _json,
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: _json(text).replace("/", "\\/"),
    # as Go and Django write JSON
    lambda text: _json(text).replace("<", "\\u003c").replace(">", "\\u003e")
    .replace("&", "\\u0026").replace("'", "\\u0027"),
    lambda text: repr(text)[1:-1],
    lambda text: repr("'\"" + text)[4:-1],  # in a text with both quotes: ' is escaped
    lambda text: repr("'" + text.replace('"', ""))[2:-1],
    lambda text: repr(text.encode())[2:-1],
    lambda text: ascii(text)[1:-1],
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    lambda text: quote(text, safe=""),
    quote,
    quote_plus,
    _lower_hex,
)  # fmt: skip


def _in_base64(raw: bytes) -> Iterator[str]:
    """The characters in base64 that depend on the secret alone, wherever it stands in a text."""
    for shift in range(3):
        first = -(-shift * 8 // 6)
        last = (shift + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(shift) + raw).decode()[first:last]
