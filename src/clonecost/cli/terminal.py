"""What a terminal is given: no control characters but those of our own styles."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from clonecost.safe_text import one_line, visible


class Terminal(Console):
    """A console that shows the control characters of names instead of sending them."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


class Sentences(Terminal):
    """A terminal of sentences: each text is one line, whatever the names in it hold."""

    def print(self, *objects: Any, **settings: Any) -> None:
        """As `Console.print`."""
        lines = (one_line(thing) if isinstance(thing, str) else thing for thing in objects)
        super().print(*lines, **settings)


def write_out(text: str) -> None:
    """Write to standard output; what the terminal's encoding cannot show becomes `?`."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(visible(text).encode(encoding, errors="replace").decode(encoding))
    sys.stdout.flush()
