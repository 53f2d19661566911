"""What goes to standard error: one sentence for every error, its remedy, and the exit status."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from clonecost.config.key import form, key_of, metavar
from clonecost.config.schema import Spec
from clonecost.errors import (
    Advice,
    ChooseFrom,
    CloneCostError,
    DropKey,
    Remedy,
    RunWorkflow,
    SetKey,
    worded,
)

errors = Console(stderr=True, highlight=False, soft_wrap=True)
TRACEBACK = "CLONECOST_TRACEBACK"


@contextmanager
def sentences(run: Path | None = None) -> Iterator[None]:
    """Every error is one sentence with its remedy, and exit status 2."""
    try:
        yield
    except CloneCostError as error:
        fail(in_words(error))
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        again = f": {remedied(RunWorkflow('resume', run))}" if run else ""
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
    """Print the sentence to standard error and end with exit status 2."""
    errors.print(f"clonecost: {sentence}", style="red", markup=False)
    raise typer.Exit(2)


def in_words(error: CloneCostError) -> str:
    """What happened and the remedies, in the words of the command line.

    Example:
        >>> in_words(SpecError("The budget is too small", SetKey("budget", 512), got=100))
        'The budget is too small: got 100. Use --budget 512.'
    """
    return worded(error.fact, [remedied(remedy) for remedy in error.remedies])


def remedied(remedy: Remedy) -> str:
    """A remedy in the words of the command line, without capital and full stop."""
    match remedy:
        case SetKey("victim", value):
            return "give another victim" if value is None else f"give {value} as the victim"
        case SetKey(key, value) if has_flag(key):
            return f"use {_flag_with(key, value)}"
        case SetKey(key, value):
            return f"set the key `{key}`" if value is None else f"set the key `{key}` to {value!r}"
        case DropKey(key):
            return f"leave {flag(key)} out" if has_flag(key) else f"leave the key `{key}` out"
        case ChooseFrom(kind):
            return f"see `clonecost list {kind}`"
        case RunWorkflow("resume", target, change):
            return f"`{_command('resume', target or 'RUN', change)}` goes on"
        case RunWorkflow(workflow, target, change):
            return f"run `{_command(workflow, target, change)}`"
        case Advice(sentence):
            return sentence


def flag(key: str) -> str:
    """The flag of a key: every command line option is named by this rule.

    Example:
        >>> flag("input_precision")
        '--input-precision'
    """
    return f"--{key.replace('_', '-')}"


def has_flag(key: str) -> bool:
    """Whether the command line has the key: a table, and a key in a table, is in a file only.

    A setting of an attack (`set.dfme.step`) has the flag `--set`, and a key that is not one of an
    audit, such as `max_rows` of `serve`, is an option of the command that refuses its value.
    """
    if key.startswith("set."):
        return True
    field = Spec.model_fields.get(key)
    return form(field) != "table" if field else "." not in key


def _flag_with(key: str, value: object) -> str:
    if key.startswith("set."):
        return f"--set {key.removeprefix('set.')}={'VALUE' if value is None else value}"
    field = Spec.model_fields.get(key)
    if field and form(field) == "switch":
        return flag(f"no_{key}") if value is False else flag(key)
    if value is None:
        return f"{flag(key)} {metavar(field, key_of(key, field))}" if field else flag(key)
    several = value if isinstance(value, list | tuple) else [value]
    if field and form(field) == "repeated":
        return " ".join(f"{flag(key)} {shlex.quote(str(one))}" for one in several)
    return f"{flag(key)} {shlex.quote(','.join(map(str, several)))}"


def _command(workflow: str, target: str | Path | None, change: SetKey | None) -> str:
    words = ["clonecost", *workflow.split(), *([str(target)] if target is not None else [])]
    flags = f" {_flag_with(change.key, change.value)}" if change else ""
    return f"{shlex.join(words)}{flags}"
