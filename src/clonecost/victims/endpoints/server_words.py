"""What a server says in its own words: documents, and the errors that it sends under status 200."""

import csv
import io
import json
from typing import Any

KEYS = ("error", "errors", "error_message", "errorMessage", "exception", "detail", "message", "msg")


def document_of(content: bytes | bytearray, media_type: str = "") -> Any:
    """The document of an answer: JSON, also JSON that is written as text in JSON, or CSV.

    Lines of CSV become lists; lines of one cell become that cell.

    Raises:
        ValueError: it is neither.

    Example:
        >>> document_of(b'"{\\\\"scores\\\\": [1]}"')
        {'scores': [1]}
        >>> document_of(b"0.1,0.9\\n0.5,0.5\\n", "text/csv; charset=utf-8")
        [['0.1', '0.9'], ['0.5', '0.5']]
    """
    if media_type.partition(";")[0].strip().lower() == "text/csv":
        lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if line]
        cells = [[cell.strip() for cell in line] for line in lines]
        return [line[0] if len(line) == 1 else line for line in cells]
    document = json.loads(content)
    return _written_in(document) if isinstance(document, str) else document


def unfolded(value: Any) -> Any:
    """The same document with each JSON text in it as what it stands for.

    Example:
        >>> unfolded({"body": "[0.1, 0.9]", "status": "ok"})
        {'body': [0.1, 0.9], 'status': 'ok'}
    """
    if isinstance(value, dict):
        return {key: unfolded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [unfolded(one) for one in value]
    if not isinstance(value, str) or isinstance(inner := _written_in(value), str):
        return value
    return unfolded(inner)


def _written_in(text: str) -> Any:
    """The object or list in JSON that a text is, or is a text of; the text itself if there is none.

    Each level of text in text doubles the escapes, so that no body of a server holds many.
    """
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return text
    try:
        inner = json.loads(text)
        inner = _written_in(inner) if isinstance(inner, str) else inner
    except (ValueError, RecursionError):
        return text
    return text if isinstance(inner, str) else inner


def error_words(document: Any) -> str:
    """The server's words of an error in a document; empty if there are none.

    Example:
        >>> error_words({"status": "failed", "error": {"message": "model is loading"}})
        'model is loading'
    """
    if isinstance(document, list):
        return next((words for one in document[:3] if (words := error_words(one))), "")
    if not isinstance(document, dict):
        return ""
    for key in KEYS:
        value = document.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if value and isinstance(value, list) and isinstance(value[0], str):
            return value[0]
        if value and isinstance(value, dict | list):
            return error_words(value) or json.dumps(value)
        if value is True:
            rest = {one: value for one, value in document.items() if one != key}
            return error_words(rest) or json.dumps(document)
    return ""


def keys_of(document: Any) -> str:
    """The keys of a document, for a message."""
    if isinstance(document, dict):
        return f"the keys {', '.join(map(str, document))}" if document else "an empty object"
    return f"a list of {len(document)}" if isinstance(document, list) else "no object"
