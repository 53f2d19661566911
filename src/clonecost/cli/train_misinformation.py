"""The command `clonecost train misinformation`: the network of a defence."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clonecost.cli.audit import train
from clonecost.cli.errors import errors, sentences
from clonecost.cli.list import names
from clonecost.cli.options import Consent, Seed, device_that, takes_keys
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import write_out
from clonecost.cli.to_config import consent_of_keys, spec_of_keys
from clonecost.config.key import Key
from clonecost.config.schema import OWN_VICTIM, Spec


@train.command("misinformation")
@takes_keys(
    Spec, "victim", "proxy", "student", "device", "data", "network", "outputs", "shape", "classes",
    "trust", "layout", "pixels", "mean", "std",
    words={
        "proxy": Key("The outliers: pictures that are none of the victim's classes.",
                     metavar="DATASET", default="photos", choices="datasets"),
        "student": Key("The network to train.", metavar="NET", default="the victim's own",
                       choices="networks"),
        **device_that("trains the network"),
    },
)  # fmt: skip
def train_misinformation(
    keys: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The new .safetensors file.",
                                      )] = Path("misinformation.safetensors"),
    own: Annotated[str | None, typer.Option(
        "--own", metavar="DATASET", autocompletion=names("datasets"), rich_help_panel=OWN_VICTIM,
        help="The victim's training data. [default: those of a victim of the zoo]")] = None,
    epochs: Annotated[int, typer.Option("--epochs", metavar="N", help="Epochs of training.")] = 5,
    seed: Seed = 0,
    consent: Consent = None,
) -> None:  # fmt: skip
    """Train a network that is wrong, for the defence adaptive_misinformation.

    No row is sent to an endpoint: the victim must be a model of this machine.
    """
    with sentences():
        from clonecost.workflows import misinformation

        spec = spec_of_keys(keys, attacks=False)
        with Display() as display:
            found = misinformation.train_misinformation(
                spec, out, own=own, epochs=epochs, seed=seed, progress=display.step,
                consent=consent_of_keys(spec, keys, consent),
            )  # fmt: skip
        rows, outliers = found.rows
        errors.print(
            f"{found.network} trained on {rows:,} rows of the victim's and {outliers:,} outliers; "
            f"{found.still_right:.1%} of them still get the class that they must not get",
            markup=False,
        )  # fmt: skip
        write_out(f"adaptive_misinformation:misinformation={found.file}\n")
