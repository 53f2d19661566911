"""The command `fingerprint`: what a few hundred answers show of a victim of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from clonecost.cli.audit import app
from clonecost.cli.copies import of_this_machine
from clonecost.cli.errors import sentences
from clonecost.cli.list import names
from clonecost.cli.options import AsJson, Consent, device_that, takes_keys
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out
from clonecost.cli.to_config import consent_of_keys, spec_of_keys
from clonecost.config.key import Key
from clonecost.config.schema import Spec

if TYPE_CHECKING:
    from clonecost.result.fingerprint import Fingerprint

ROWS = 300  # as clonecost.workflows.fingerprint.BUDGET, which imports torch


@app.command()
@takes_keys(
    Spec, "victim", "budget", "proxy", "test", "answers", "defence", "shape", "classes", "data",
    "network", "outputs", "layout", "pixels", "mean", "std", "channels", "trust",
    "authorisation", "rate", "max_lost", "device",
    words={"budget": Key("Rows that the victim is asked.", metavar="ROWS", default=str(ROWS)),
           **device_that("runs the victim")},
)  # fmt: skip
def fingerprint(
    keys: dict[str, Any],
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", metavar="NAME", autocompletion=names("backbones"),
                     help="A further backbone to compare with: an ONNX file from pixels to "
                     "features, or MODULE:NAME of your own code; several may be given."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", parser=of_this_machine,
                     help="Run folder. [default: runs/VICTIM-fingerprint]"),
    ] = None,
    as_json: AsJson = False,
    consent: Consent = None,
) -> None:  # fmt: skip
    """Which public backbone is it, and which attacks apply? Asks a few hundred public pictures."""
    with sentences():
        spec = spec_of_keys({"budget": ROWS, **keys}, attacks=False)
        from clonecost.config import default_out
        from clonecost.workflows.fingerprint import fingerprint as ask

        usual = default_out(spec.model_copy(update={"attack": ["fingerprint"], "panel": None}))
        with Display(quiet=as_json) as display:
            found = ask(
                spec, out or usual, backbones=backbone or (), progress=display.step,
                consent=consent_of_keys(spec, keys, consent),
            )  # fmt: skip
    if as_json:
        write_out(found.model_dump_json(indent=2) + "\n")
    else:
        _show(found, out or usual)


def _show(found: "Fingerprint", folder: Path) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for what, fact in facts(found):
        table.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
    Terminal(highlight=False).print(table)
    write_out(f"\n{folder / 'fingerprint.json'}\n")


def facts(found: "Fingerprint") -> list[tuple[str, str]]:
    """(name, fact), in words."""
    size = " x ".join(map(str, found.input_shape))
    said = [
        ("victim", f"{found.victim}, {size}, {found.classes:,} classes"),
        ("asked", f"{found.asked:,} rows of {found.pool}, some twice"),
        (
            "steady",
            "yes" if found.changed < 1e-5 else f"no: a probability moved {found.changed:.2g}",
        ),
        ("answers", _answers(found)),
        (
            "confidence",
            "10, 50 and 90 % quantiles " + ", ".join(f"{p:.2f}" for p in found.confidence),
        ),
    ]
    if found.width is not None:
        words = "" if found.width_seen else "at least "
        said.append(("last layer", f"{words}{found.width:,} features, by the rank of the answers"))
    if found.sizes:
        said.append(("other sizes", _sizes(found)))
    said.append(("mean colours", f"explain {max(0.0, found.colours):.0%} of the answers"))
    for one in found.backbones:
        said.append((
            one.sign, f"{one.name} (pixels {one.normalisation}"
            f"{f', at {one.size} px' if one.size else ''}) explains "
            f"{max(0.0, one.explained):.1%} of the answers",
        ))  # fmt: skip
    if not found.backbones:
        said.append(("backbones", "none to compare with: pip install 'clonecost[backbones]'"))
    for attack in found.attacks:
        price = f", {attack.queries:,} queries" if attack.queries else ""
        said.append(
            (attack.attack, f"{'applies' if attack.applies else 'no'}: {attack.why}{price}")
        )
    return said


def _answers(found: "Fingerprint") -> str:
    kinds = {"label": "labels only", "top_k": "the likeliest classes", "probs": "probabilities"}
    digits = f", rounded to {found.step:g}" if found.step else ""
    return kinds[found.answers] + digits


def _sizes(found: "Fingerprint") -> str:
    tried = [(f"{one.height} x {one.width}", one.taken) for one in found.sizes]
    taken, refused = ([size for size, was in tried if was is kind] for kind in (True, False))
    parts = [("takes ", taken), ("refuses ", refused)]
    return "; ".join(word + ", ".join(sizes) for word, sizes in parts if sizes)
