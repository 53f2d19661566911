"""The command `clonecost serve`: a victim as a prediction API."""

import ipaddress
import os
from typing import Annotated, Any

import typer

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, sentences
from clonecost.cli.options import Consent, device_that, takes_keys
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import write_out
from clonecost.cli.to_config import consent_of_keys, spec_of_keys
from clonecost.config.key import Key
from clonecost.config.schema import OWN_VICTIM, Spec
from clonecost.errors import Advice, SpecError

LIMITS = "Limits"


@app.command()
@takes_keys(
    Spec, "victim", "defence", "answers", "input_precision", "device", "data", "test", "network",
    "outputs", "shape", "classes", "trust", "allow", "layout", "pixels", "mean", "std",
    "incomplete",
    words={"test": Key("For a table: rows with the ranges and categories of its features.",
                       metavar="ROWS", panel=OWN_VICTIM),
           **device_that("runs the victim")},
)  # fmt: skip
def serve(
    keys: dict[str, Any],
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; "
                    "0.0.0.0 opens the API to other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535,
                                      help="Port to listen on; 0 takes a free one.")] = 8000,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the model in "
                    "the URL. [default: the victim's]")] = None,
    token_env: Annotated[str | None, typer.Option("--token-env", metavar="VARIABLE", help="Require "
                         "the token in this environment variable (Authorization: Bearer ...). "
                         "[default: no token]")] = None,
    allowed_host: Annotated[list[str] | None, typer.Option("--allowed-host", metavar="NAME", help=
                            "A name by which clients call the server, such as a proxy's; several "
                            "may be given. [default: localhost, --host, this machine's address]"),
                            ] = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="ROWS", help="Rows per second on "
                    "average, over all clients. [default: no limit]",
                    rich_help_panel=LIMITS)] = None,
    max_rows: Annotated[int, typer.Option("--max-rows", metavar="ROWS", help="Rows in one request.",
                                          rich_help_panel=LIMITS)] = 1024,
    max_bytes: Annotated[int, typer.Option("--max-bytes", metavar="BYTES", help="Size of a "
                         "request's body.", rich_help_panel=LIMITS)] = 64 * 1024**2,
    max_connections: Annotated[int, typer.Option("--max-connections", metavar="N", help="Open "
                               "connections; above it the one is closed that has waited longest "
                               "for its client.", rich_help_panel=LIMITS)] = 256,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="In which a "
                       "request has to arrive, and its answer to be taken.",
                       rich_help_panel=LIMITS)] = 60.0,
    consent: Consent = None,
) -> None:  # fmt: skip
    """Serve a victim over HTTP (Open Inference Protocol v2) until Ctrl-C.

    The API gives the same answers that an audit with the same victim, defences and answers gets.
    Needs `pip install 'clonecost[serve]'`.
    """
    with sentences():
        try:
            from clonecost import serving
            from clonecost.config import must_consent
        except ModuleNotFoundError as error:
            raise SpecError(
                f"Serving needs the package {error.name}, which is not installed",
                Advice("run `pip install 'clonecost[serve]'`"),
            ) from error
        token = _token(token_env)
        limits = serving.Limits(
            max_rows=max_rows, max_bytes=max_bytes, rate=rate, timeout=timeout,
            max_connections=max_connections,
        )  # fmt: skip
        spec = spec_of_keys(keys, attacks=False)
        agreed = consent_of_keys(spec, keys, consent)
        must_consent(spec, agreed, where=keys["victim"])
        with serving.bind(host, port) as listening:  # a taken port is refused before training
            with Display() as display:
                model = serving.served_model(spec, name=name, progress=display.step, consent=agreed)
            metrics = serving.Metrics()
            names = (host, *(allowed_host or []))
            api = serving.make_app(model, limits, token=token, hosts=names, metrics=metrics)
            if not _loopback(host):
                _warn(host, token)
            write_out(f"{serving.address_of(listening)}/v2/models/{model.name}\n")
            errors.print("Ctrl-C stops the server; /openapi.json describes the API, /metrics has "
                         "counts", markup=False)  # fmt: skip
            serving.run(api, listening, limits)
        errors.print(f"stopped; {metrics.rows():,} rows were answered", markup=False)


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "")
    if not token:
        raise SpecError(
            f"--token-env {variable}: the environment variable is not set, or is empty",
            Advice("set it to the token"),
        )
    return token


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warn(host: str, token: str | None) -> None:
    open_to_all = "" if token else ", and without --token-env it answers every client"
    errors.print(
        f"warning: {host} can be reached from other machines; its traffic is not encrypted"
        f"{open_to_all}. Put a proxy with TLS before it",
        style="yellow", markup=False,
    )  # fmt: skip
