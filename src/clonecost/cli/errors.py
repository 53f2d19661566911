"""Errors on standard error: what happened and the remedies on one line, and the exit status."""

import os
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from clonecost.cli.terminal import Sentences
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
from clonecost.safe_text import first_line

errors = Sentences(stderr=True, highlight=False, soft_wrap=True)
TRACEBACK = "CLONECOST_TRACEBACK"


@dataclass(frozen=True)
class Place:
    """Where the user of a command sets a key: some keys by flags, all others in a file.

    Args:
        flags: the keys that are flags of the command; None: every key that can have a flag.
        file: the file that holds the other keys; empty: the user's own spec file.
    """

    flags: Collection[str] | None = None
    file: str = ""

    def has_flag(self, key: str) -> bool:
        """Whether the command has the flag of the key."""
        return has_flag(key) if self.flags is None else key in self.flags

    def has(self, key: str) -> bool:
        """Whether the user can set the key at all: by a flag or in the file."""
        return self.has_flag(key) or key.partition(".")[0] in Spec.model_fields


ANY = Place()  # a command that has every flag, such as `audit`


def in_run(run: Path, *flags: str) -> Place:
    """The place of a command that takes a run folder and has these flags only."""
    from clonecost.persistence.run_folder import SPEC  # only where a run has failed

    return Place(flags, str(run / SPEC))


@contextmanager
def sentences(run: Path | None = None, place: Place = ANY) -> Iterator[None]:
    """Print an error as one line with its remedies, and end with exit status 2.

    Args:
        run: the run folder that `resume` takes up after Ctrl-C, if there is one.
        place: where the user of the command sets a key.

    Raises:
        typer.Exit: with status 2 after an error, with 130 after Ctrl-C.
    """
    try:
        yield
    except CloneCostError as error:
        fail(in_words(error, place))
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        errors.print(_stopped(run), markup=False)
        raise typer.Exit(130) from None
    except Exception as error:  # a fault of clonecost, or of the user's own code
        if os.environ.get(TRACEBACK):
            raise
        fail(
            f"unexpected {type(error).__name__}: {first_line(error)}. Every paid answer is kept; "
            f"{TRACEBACK}=1 shows where the error arose, for a bug report."
        )


def _stopped(run: Path | None) -> str:
    """What Ctrl-C leaves behind: no promise of a resume before there is something to resume."""
    from clonecost.persistence.run_folder import LEDGER, SPEC  # only where a run was stopped

    if run is None:
        return "stopped; every paid answer is kept"
    if not (run / SPEC).is_file() or not [*run.glob(LEDGER), *run.glob(f"*/{LEDGER}")]:
        return "stopped before anything was sent; the same command begins again"
    return f"stopped; every paid answer is kept: {remedied(RunWorkflow('resume', run))}"


def fail(sentence: str) -> NoReturn:
    """Print the sentence to standard error and end with exit status 2."""
    errors.print(f"clonecost: {sentence}", style="red", markup=False)
    raise typer.Exit(2)


def in_words(error: CloneCostError, place: Place = ANY) -> str:
    """What happened and the remedies, in the words of the command line.

    Example:
        >>> in_words(SpecError("The budget is too small", SetKey("budget", 512), got=100))
        'The budget is too small: got 100. Use --budget 512.'
    """
    usable = [
        remedy
        for remedy in error.remedies
        if not isinstance(remedy, SetKey | DropKey) or place.has(remedy.key)
    ]
    return worded(error.fact, [remedied(remedy, place) for remedy in usable])


def remedied(remedy: Remedy, place: Place = ANY) -> str:
    """A remedy in the words of the command line, without capital and full stop.

    Example:
        >>> remedied(SetKey("answers", "probs"), in_run(Path("runs/mine"), "budget"))
        "set the key `answers` to 'probs' in runs/mine/spec.toml"
    """
    inside = f" in {place.file}" if place.file else ""
    match remedy:
        case SetKey("victim", value) if place.flags is None:
            return "give another victim" if value is None else f"give {value} as the victim"
        case SetKey(key, value) if place.has_flag(key):
            return f"use {_flag_with(key, value)}"
        case SetKey(key, value):
            to_value = "" if value is None else f" to {value!r}"
            return f"set the key `{key}`{to_value}{inside}"
        case DropKey(key) if key.startswith("set.") and place.flags is None:
            return f"leave {_flag_with(key, '...')} out"
        case DropKey(key) if place.has_flag(key):
            return f"leave {flag(key)} out"
        case DropKey(key):
            return f"leave the key `{key}` out" + (f" of {place.file}" if place.file else "")
        case ChooseFrom(kind, part):
            return f"see `clonecost list {kind}{' ' if part else ''}{part}`"
        case RunWorkflow("resume", target, change):
            return f"`{_command('resume', target or 'RUN', change)}` goes on"
        case RunWorkflow(workflow, target, change):
            return f"run `{_command(workflow, target, change)}`"
        case Advice(sentence):
            return sentence


def flag(key: str) -> str:
    """The flag of a key; every option that is a key has this name.

    Example:
        >>> flag("input_precision")
        '--input-precision'
    """
    return f"--{key.replace('_', '-')}"


def has_flag(key: str) -> bool:
    """Whether a key can have a flag: a table, and a key in a table, is in a file only.

    A setting of an attack (`set.dfme.step`) has the flag `--set`. A key that is not in a spec, such
    as `max_rows` of `serve`, is an option of the command that refuses its value.
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
    if key == "consent" or (field and form(field) == "repeated"):
        return " ".join(f"{flag(key)} {shlex.quote(str(one))}" for one in several)
    return f"{flag(key)} {shlex.quote(','.join(map(str, several)))}"


def _command(workflow: str, target: str | Path | None, change: SetKey | None) -> str:
    words = ["clonecost", *workflow.split(), *([str(target)] if target is not None else [])]
    flags = f" {_flag_with(change.key, change.value)}" if change else ""
    return f"{shlex.join(words)}{flags}"
