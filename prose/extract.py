"""The prose of a file, at the places where it stands: everything else is replaced by blanks."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

# Markdown that is not prose: code blocks (fenced, or indented after an empty line), code spans,
# comments, and the address of a link (its text stays).
_NOT_PROSE = [
    re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL),
    re.compile(r"(?:(?<=\n\n)|\A)(?:(?: {4}|\t)[^\n]*\n+)+", re.MULTILINE),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"``[^`]+``|`[^`]+`"),
    re.compile(r"\]\([^)\s]*\)"),
    re.compile(r"https?://\S+"),
]
# Python: the letters and quotes before a string, and what an f-string puts in.
_QUOTES = re.compile(r"^[rbfuRBFU]*(?:\"\"\"|'''|\"|')|(?:\"\"\"|'''|\"|')$")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
# A part of an SVG or HTML element: it begins with a tag, or has attributes.
_MARKUP = re.compile(r"^\s*</?[a-z]|\s[a-z-]+=\"|^[a-z]+=\"|: var\(")


def blank(text: str) -> str:
    """As many blanks as the text has characters; ends of lines stay."""
    return re.sub(r"[^\n]", " ", text)


def prose_of_markdown(text: str) -> str:
    """Markdown without its code and addresses; lines and columns as they were."""
    for pattern in _NOT_PROSE:
        text = pattern.sub(lambda match: blank(match[0]), text)
    return text


def prose_of_python(source: str) -> str:
    """Docstrings, comments, help texts and messages of a module; lines and columns as they were.

    A string counts as prose if it has two words or more: keys, names and formats have one.
    """
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = list(blank(source))
    for token, text, (row, column), _, _ in tokenize.generate_tokens(io.StringIO(source).readline):
        if token == tokenize.STRING:
            text = _PLACEHOLDER.sub(lambda match: blank(match[0]), text)
            text = _QUOTES.sub(lambda match: blank(match[0]), text)
            if _MARKUP.search(text):
                continue
        elif token != tokenize.COMMENT and tokenize.tok_name[token] != "FSTRING_MIDDLE":
            continue
        if len(re.findall(r"[A-Za-z]{2,}", text)) > 1:
            start = starts[row - 1] + column
            found[start : start + len(text)] = prose_of_markdown(text)
    return "".join(found)


def prose(path: Path) -> str:
    """The prose of a Markdown file, a Python module, or a template (its tags are blanked)."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return prose_of_python(text)
    return prose_of_markdown(text)


def files(root: Path, patterns: list[str], excluded: list[str]) -> Iterator[Path]:
    """The files of `patterns`, each once, without those below an excluded path."""
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        if not any(name == e or name.startswith(f"{e}/") for e in excluded):
            yield path
