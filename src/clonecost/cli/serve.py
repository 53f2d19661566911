"""The command `clonecost serve`: a victim as a prediction API."""

import ipaddress
import os
from typing import Annotated, Any

import typer

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, sentences
from clonecost.cli.options import takes_keys
from clonecost.cli.progress_display import Display, write_out
from clonecost.cli.to_config import spec_of_keys
from clonecost.config.key import Key
from clonecost.config.schema import OWN_VICTIM, Spec
from clonecost.errors import SpecError

LIMITS = "Limits"


@app.command()
@takes_keys(
    Spec, "victim", "defence", "answers", "input_precision", "device", "data", "test", "network",
    "outputs", "shape", "classes", "trust", "allow", "layout", "pixels", "mean", "std",
    "incomplete",
    words={"test": Key("For a table: rows that show the ranges and categories of its features.",
                       metavar="ROWS", panel=OWN_VICTIM)},
)  # fmt: skip
def serve(
    keys: dict[str, Any],
    host: Annotated[str, typer.Option("--host", help="0.0.0.0 listens to other machines, too.")]
    = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
    = 8000,
    name: Annotated[str | None, typer.Option("--name", help="In the URL. [default: as the "
                    "victim]")] = None,
    token_env: Annotated[str | None, typer.Option("--token-env", metavar="VARIABLE", help="Ask for "
                         "the token in this environment variable (Authorization: Bearer ...).")]
    = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="ROWS", help="Rows a second on "
                    "average, of all clients together. [default: no limit]",
                    rich_help_panel=LIMITS)] = None,
    max_rows: Annotated[int, typer.Option("--max-rows", help="In one request.",
                                          rich_help_panel=LIMITS)] = 1024,
    max_bytes: Annotated[int, typer.Option("--max-bytes", help="Of a request's body.",
                                           rich_help_panel=LIMITS)] = 64 * 1024**2,
) -> None:  # fmt: skip
    """Serve a victim over HTTP (Open Inference Protocol v2) until Ctrl-C.

    Answers just as an audit of the same victim, defences and answers would get. Needs
    `pip install 'clonecost[serve]'`.
    """
    with sentences():
        try:
            from clonecost import serving
        except ModuleNotFoundError as error:
            raise SpecError(
                f"serving needs {error.name}; run `pip install 'clonecost[serve]'`"
            ) from error
        token = _token(token_env)
        limits = serving.Limits(max_rows=max_rows, max_bytes=max_bytes, rate=rate)
        spec = spec_of_keys(keys, asks=False)
        with serving.bind(host, port) as listening:  # a taken port is told before a victim trains
            with Display() as display:
                model = serving.served_model(spec, name=name, progress=display.step)
            metrics = serving.Metrics()
            api = serving.make_app(model, limits, token=token, metrics=metrics)
            if not _loopback(host):
                _warn(host, token)
            write_out(f"{serving.address_of(listening)}/v2/models/{model.name}\n")
            errors.print("Ctrl-C stops it; /docs describes it, /metrics counts", markup=False)
            serving.run(api, listening)
        errors.print(f"stopped; {metrics.rows():,} rows were answered", markup=False)


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "")
    if not token:
        raise SpecError(f"--token-env {variable}: that environment variable is not set, or empty")
    return token


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warn(host: str, token: str | None) -> None:
    who = "" if token else " and anybody who reaches it may ask (--token-env asks for a token)"
    errors.print(
        f"warning: {host} can be reached from other machines; the traffic is not encrypted{who}: "
        "put a proxy with TLS in front",
        style="yellow", markup=False,
    )  # fmt: skip
