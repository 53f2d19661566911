"""Names that a terminal, Markdown or HTML would obey, and what must be left of them."""

import unicodedata

from hypothesis import strategies as st

OBEYED = [
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x00", "\x7f", "\r", "\n", "\n\n", "\t", "\v",
    "\x85", "\u2028", "\u202e", "\u2066", "\u200f", "# ", "#", "- ", "---", "+ ", "1. ", "2) ",
    "> ", "===", "|", "\\", "`", "```", "*", "**", "_", "__", "~~", "[x](javascript:alert(1))",
    "![x](y)", "[", "]", "[x]: y", "<img src=x onerror=alert(1)>", "<!--", "</td>", "</details>",
    "</script>", "<b>", "&lt;", "&#27;", "https://x.example", "<https://x.example>",
    "www.x.example", '"', "'", "{{ 7 }}", " ", "    ", "a", "cat", "%",
]  # fmt: skip
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

names = (
    st.lists(st.sampled_from(OBEYED) | st.text(max_size=3), min_size=1, max_size=5)
    .map("".join)
    .filter(lambda name: bool(name.strip()))
)


def controls(text: str) -> set[str]:
    """The characters of a text that a terminal obeys or that change how a line reads."""
    return {
        character
        for character in set(text) - {"\n"}
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in DIRECTIONS
    }
