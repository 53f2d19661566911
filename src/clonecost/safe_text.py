"""Text of strangers, made harmless where it leaves to a terminal, a page or a log.

Names of classes, files and features, a server's words and a spec's values may hold control
characters: a terminal obeys them, and a direction mark makes a line read as another one. They are
shown, as `\\x1b` or `\\u202e`, and never removed, so that a reader sees that they are there. The
functions are for the way out only; data keep their characters.
"""

import re

# C0 and C1 controls, lone surrogates, direction marks and overrides, line and paragraph separators
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
LONGEST = 200  # characters of another program's error text
_BREAK = re.compile("[ \t]*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\\s*")


def visible(text: str) -> str:
    """The text with every control character but the line break spelt out.

    JSON stays the same JSON: above 0x1f the spelling is JSON's own, and JSON has no others.

    Example:
        >>> visible("cat\\x1b[2J")
        'cat\\\\x1b[2J'
    """
    return _UNSAFE.sub(_spelt, text)


def one_line(text: str) -> str:
    """The text on one line: a line break becomes a space, so that no name starts a line.

    Example:
        >>> one_line("cat\\nclonecost: nothing was altered")
        'cat clonecost: nothing was altered'
    """
    return visible(_BREAK.sub(" ", text))


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, at most 200 characters; without a text its name.

    Example:
        >>> first_line(ValueError("no such node\\n  at line 7"))
        'no such node'
    """
    lines = (line.strip() for line in str(error).splitlines())
    line = next((line for line in lines if line), "") or type(error).__name__
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _spelt(found: re.Match[str]) -> str:
    character = found[0]
    if character == "\n":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"
