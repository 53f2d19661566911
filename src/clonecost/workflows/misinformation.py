"""Train the network of the defence `adaptive_misinformation` for a victim. It is no audit.

The victim must be a model of this process: its top classes on the outliers cost nothing.
"""

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import torch

from clonecost.config import Spec, bring_victim, endpoint_url, make_device, victim_shape
from clonecost.config.defaults import must_give_one_class, proxy_name
from clonecost.data import load
from clonecost.errors import Advice, SetKey, SpecError
from clonecost.networks import build
from clonecost.persistence import run_folder
from clonecost.training.misinformation import train_to_be_wrong
from clonecost.types import Progress, no_progress
from clonecost.victims.zoo.catalogue import VICTIMS

EPOCHS = 5
BATCH = 512


@dataclass(frozen=True, kw_only=True)
class Misinformed:
    """What was trained.

    Attributes:
        rows: of the victim's own training data, and of the outliers.
        still_right: the share of all these rows that still get the class that they must not get.
    """

    file: Path
    network: str
    rows: tuple[int, int]
    still_right: float


def train_misinformation(
    spec: Spec, out: Path, *, own: str | None = None, epochs: int = EPOCHS, seed: int = 0,
    progress: Progress = no_progress, consent: Container[str] = (),
) -> Misinformed:  # fmt: skip
    """Train a network to be wrong where the victim is right, and write it to `out`.

    Args:
        spec: the victim; its `proxy` is the outliers, its `student` the network (default: the
            victim's own).
        out: a new .safetensors file, which says its network.
        own: the victim's training data, of which the split train is used; None: the zoo's.
        consent: what the person agreed to, as KIND:WHAT.

    Raises:
        SpecError: the victim is an endpoint, or its network or data are not known.
        CloneCostError: the data or the victim cannot be loaded, or the file not be written.

    Example:
        >>> spec = make_spec({"victim": "digits-lenet"}, asks=False)
        >>> train_misinformation(spec, Path("wrong.safetensors")).still_right  # doctest: +SKIP
        0.02
    """
    recipe = VICTIMS.get(spec.victim)
    if endpoint_url(spec):
        raise SpecError(
            f"{spec.victim} is an endpoint, and no ledger would record what it is asked here",
            Advice("give the model itself"),
        )
    network = spec.student or (recipe.network if recipe else spec.network)
    if network is None:
        raise SpecError(f"The network to train for {spec.victim} is not known", SetKey("student"))
    source = own or (recipe.dataset if recipe else None)
    if source is None:
        raise SpecError(
            f"The training data of {spec.victim} are not known", Advice("name them with `own`")
        )
    if out.suffix != ".safetensors" or out.exists():
        raise SpecError(f"{out} is not the name of a new .safetensors file", SetKey("out"))
    if epochs < 1:
        raise SpecError("The training has too few epochs", got=epochs, want="1 or more")
    rows = load(source, "train", root=spec.data, shape=victim_shape(spec), progress=progress)
    outliers = load(
        proxy_name(spec), "train", root=spec.data, shape=rows.shape, progress=progress,
        background=spec.background,
    )  # fmt: skip
    must_give_one_class(spec, "Adaptive misinformation")
    device = make_device(spec.device)
    stated = recipe.num_classes if recipe else spec.classes
    victim = bring_victim(spec, rows.shape, stated, device, progress, consent=consent)
    classes = victim.num_classes or stated
    if classes is None:
        raise SpecError(f"The number of classes of {spec.victim} is not known", SetKey("classes"))
    low, high = int(rows.labels.min()), int(rows.labels.max())
    if low < 0 or high >= classes:
        raise SpecError(
            f"{rows.name} does not have a label of the victim's classes for every row",
            Advice("name the victim's own training data"), got=f"labels {low} to {high}",
            want=f"0 to {classes - 1}",
        )  # fmt: skip
    answered = [
        victim.answer(outliers.rows(part)).argmax(1)
        for part in torch.arange(len(outliers)).split(BATCH)
    ]
    avoided = torch.cat([rows.labels, *answered])
    inputs = torch.cat([rows.rows(slice(None)), outliers.rows(slice(None))])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = build(network, rows.shape, classes).to(device)
        share = train_to_be_wrong(
            model, inputs.to(device), avoided.to(device), epochs=epochs,
            rng=torch.Generator().manual_seed(seed), progress=progress,
        )  # fmt: skip
    about = {
        "network": network, "input_shape": json.dumps(rows.shape), "num_classes": str(classes),
        "trained": f"misinformation for {victim.name}: {rows.name}, outliers {outliers.name}",
    }  # fmt: skip
    run_folder.write_network(out, model, about)
    return Misinformed(
        file=out, network=network, rows=(len(rows), len(outliers)), still_right=share
    )
