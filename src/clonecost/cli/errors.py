"""What goes to standard error: one sentence for every error, and the exit status."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from clonecost.errors import CloneCostError

errors = Console(stderr=True, highlight=False, soft_wrap=True)
TRACEBACK = "CLONECOST_TRACEBACK"


@contextmanager
def sentences(run: Path | None = None) -> Iterator[None]:
    """Every error is one sentence and exit status 2."""
    try:
        yield
    except CloneCostError as error:
        fail(str(error))
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        again = f": `clonecost resume {run}` goes on" if run else ""
        errors.print(f"stopped; nothing that was paid for is lost{again}", markup=False)
        raise typer.Exit(130) from None
    except Exception as error:  # nobody thought of this one
        if os.environ.get(TRACEBACK):
            raise
        first = next(iter(str(error).splitlines()), "")
        fail(
            f"unexpected {type(error).__name__}: {first}; nothing that was paid for is lost; if "
            f"your settings do not explain it, it is a bug: {TRACEBACK}=1 shows where"
        )


def fail(sentence: str) -> NoReturn:
    errors.print(f"clonecost: {sentence}", style="red", markup=False)
    raise typer.Exit(2)
