"""Bodies of requests, read again by another parser."""

import json
from email.message import Message
from email.parser import BytesParser
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.victims.endpoints import EndpointSettings
from clonecost.victims.endpoints.request_bodies import RequestBody, check_body, holds
from clonecost.victims.endpoints.row_encoding import row_encoding
from clonecost.victims.input_form import InputForm

SHAPE = (3, 4, 5)


def sent(template: dict[str, Any], count: int) -> list[Message]:
    """The parts of the form that carries this number of rows."""
    chosen = EndpointSettings(send="multipart", body=template, answers="p")
    check_body(chosen)
    body = RequestBody(settings=chosen, template=template, row="$input",
                       encoding=row_encoding("png", InputForm(), SHAPE, None))  # fmt: skip
    headers, content = body(torch.zeros(count, *SHAPE))
    assert list(headers) == ["Content-Type"]
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + content).get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


values = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=9).filter(
    lambda text: "$input" not in text
)

names = st.text("abcdef_[].", min_size=1, max_size=6)


@settings(max_examples=60)
@given(
    fields=st.dictionaries(
        names, values | st.integers() | st.booleans() | st.lists(st.integers()), max_size=4
    ),
    count=st.integers(1, 3),
)
def test_a_form_holds_every_field_and_a_file_for_each_row(
    fields: dict[str, Any], count: int
) -> None:
    parts = sent({**fields, "images": "$inputs"}, count)
    found: dict[str, bytes] = {}
    files = []
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename() is None:
            found[str(name)] = content
        else:
            files.append((name, part.get_filename(), part.get_content_type(), content[:4]))
    assert files == [
        ("images", f"row{k}.png", "image/png", b"\x89PNG") for k in range(count)
    ]  # fmt: skip
    assert found == {
        name: (value if isinstance(value, str) else json.dumps(value)).encode()
        for name, value in fields.items()
    }


def test_a_marker_is_found_at_any_depth_and_is_a_word() -> None:
    assert holds({"a": [{"b": "data:$input"}]}, "$input")
    assert not holds({"a": ["$inputs", "$input_size", 3, None]}, "$input")
    assert not holds({"$input": "a key is no row"}, "$input")
