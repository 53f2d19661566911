"""Huge pages for torch's buffers, which an audit on a CPU maps and unmaps all the time."""

import os
from pathlib import Path

SWITCH = "THP_MEM_ALLOC_ENABLE"  # torch reads it when it allocates for the first time
ALLOWED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ask_for_huge_pages() -> None:
    """Tell torch to ask for them, where the system gives them to programs that ask.

    To be called before torch is loaded. It takes a part of a data-free audit's system time away
    (docs/speed.md); the clone is the same to the last bit. A value that the user has set stays.
    """
    try:
        asking_helps = "[madvise]" in ALLOWED.read_text(encoding="ascii")
    except OSError:  # no Linux, or a container that hides it
        return
    if asking_helps:
        os.environ.setdefault(SWITCH, "1")
