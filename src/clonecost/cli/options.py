"""Options of the commands: `takes_keys` makes those that are keys of a spec from its schema."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from clonecost.cli.errors import flag, sentences
from clonecost.cli.list import names
from clonecost.config.key import Key, default, form, keys, metavar, read_flag
from clonecost.config.schema import Spec

# Options that are not keys and that several commands have.
Out = Annotated[
    str | None,
    typer.Option("--out", metavar="RUN|ADDRESS", help="Run folder; at an address of fsspec, such "
                 "as s3://BUCKET/RUN, lies a copy of it. [default: runs/VICTIM-ATTACK]"),
]  # fmt: skip
Consent = Annotated[
    list[str] | None,
    typer.Option("--consent", metavar="KIND:WHAT", help="Agree to one thing that a file asks for: "
                 "code, a program, a type, an address or a secret. The refusal without it names "
                 "each; several may be given."),
]  # fmt: skip
Workers = Annotated[
    str,
    typer.Option("--workers", metavar="N|ray|ADDRESS|slurm", help="Do several runs at the same "
                 "time: in N processes, on Ray on this machine or at an address "
                 "(ray://HOST:10001), or as jobs of SLURM."),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
FailAbove = Annotated[
    list[str] | None,
    typer.Option("--fail-above", metavar="METRIC=SHARE", help="Exit with status 1 when a final "
                 "clone's METRIC, such as corrected_agreement or agreement, exceeds SHARE, and "
                 "with 3 when every attack failed, so that nothing is known. METRIC@N takes the "
                 "clone of the last milestone at or below N queries; the largest value over the "
                 "runs decides, which worst.METRIC says aloud."),
]  # fmt: skip
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of all random numbers.")]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", metavar="N", help="Epochs of training. [default: the recipe's]"),
]

# The keys that a run may change when it resumes, with their help.
OF_A_RUN = {
    "budget": replace(keys(Spec)["budget"], help="A larger query budget than before.",
                      default="the run's"),
    "max_lost": replace(keys(Spec)["max_lost"], default="the run's"),
}  # fmt: skip

Command = Callable[..., None]


def device_that(task: str) -> dict[str, Key]:
    """The key `device` with the help of a command whose device has another task."""
    return {"device": replace(keys(Spec)["device"], help=f"The device that {task}.")}


def takes_keys(
    model: type[BaseModel], *only: str, words: Mapping[str, Key] | None = None
) -> Callable[[Command], Command]:
    """Give a command one option for every key of `model`, and the values as its argument `keys`.

    A key without a default becomes an argument. `keys` holds the keys that the user gave, with the
    types of their fields; a value that its type refuses ends the command with an error.

    Args:
        only: the names of the keys; none: all keys that have a flag.
        words: the help of keys that mean something else to this command.

    Example:
        @app.command()
        @takes_keys(Spec, "budget")
        def resume(run: Path, keys: dict[str, Any]) -> None: ...
    """
    fields = model.model_fields
    described = {**keys(model), **(words or {})}
    chosen = only or tuple(name for name, field in fields.items() if form(field) != "table")

    def decorate(command: Command) -> Command:
        own = signature(command, eval_str=True).parameters
        options = [_parameter(name, model, described[name]) for name in chosen]
        options += [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for name, parameter in own.items() if name != "keys"
        ]  # fmt: skip

        @wraps(command)
        def called(**given: Any) -> None:
            texts = {name: given.pop(name) for name in chosen}
            with sentences():
                values = {
                    name: read_flag(fields[name], flag(name), text)
                    for name, text in texts.items() if text not in (None, [])
                }  # fmt: skip
            command(keys=values, **given)

        # Typer reads both; the signature of `command` does not name the keys.
        called.__signature__ = Signature(options)  # type: ignore[attr-defined]
        called.__annotations__ = {option.name: option.annotation for option in options}
        return called

    return decorate


def _parameter(name: str, model: type[BaseModel], key: Key) -> Parameter:
    field = model.model_fields[name]
    value = default(field, key)
    words = _with_flags(key.help + (f" [default: {value}]" if value else ""), model)
    settings: dict[str, Any] = {"help": words, "rich_help_panel": key.panel or None}
    if key.choices:
        settings["autocompletion"] = names(key.choices)
    kind = form(field)
    if kind != "switch":
        settings["metavar"] = metavar(field, key)
    if field.is_required():
        return Parameter(
            name, Parameter.KEYWORD_ONLY, annotation=Annotated[str, typer.Argument(**settings)]
        )
    types = {"switch": bool | None, "repeated": list[str] | None, "settings": list[str] | None}
    written = f"{flag(name)}/{flag(f'no_{name}')}" if kind == "switch" else flag(name)
    return Parameter(
        name, Parameter.KEYWORD_ONLY, default=None,
        annotation=Annotated[types.get(kind, str | None), typer.Option(written, **settings)],
    )  # fmt: skip


def _with_flags(text: str, model: type[BaseModel]) -> str:
    """The help of a key with the flags of the keys that it names."""

    def as_flag(found: re.Match[str]) -> str:
        known = found[1] in model.model_fields
        return flag(found[1]) if known else found[0]

    return re.sub(r"`([a-z_]+)`", as_flag, text)
