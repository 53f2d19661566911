"""Control characters are shown, whatever else the text holds."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.support.hostile_text import controls, names

from clonecost.safe_text import one_line, visible


@given(names | st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not controls(visible(text))
    assert visible(visible(text)) == visible(text)
    assert one_line(text).count("\n") == 0
    assert not controls(one_line(text))


@given(st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp"], codec="utf-8")))
def test_other_text_stays_the_same(text: str) -> None:
    kept = "".join(character for character in text if not controls(character))
    plain = kept.translate(dict.fromkeys((0x61C, 0x200E, 0x200F)))
    assert visible(plain) == plain


@given(names | st.text())
def test_json_stays_the_same_json(text: str) -> None:
    document = {text: [text, 1, None]}
    shown = visible(json.dumps(document, ensure_ascii=False, indent=2))
    assert json.loads(shown) == document


def test_what_is_shown_names_the_character() -> None:
    assert visible("cat\x1b[2J\u202egnp.exe\x9b") == r"cat\x1b[2J\u202egnp.exe\u009b"
    assert visible("two\nlines") == "two\nlines"
    assert one_line("cat \r\n\n  clonecost: done") == "cat clonecost: done"
