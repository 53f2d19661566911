"""A spec and its parts -> audits: one for each attack and seed, each with its folder."""

import hashlib
import json
import re
from pathlib import Path

from clonecost.audit import OWN_MODEL, Audit, Origin, RunOptions
from clonecost.config.build import Parts
from clonecost.config.defaults import lost_limit
from clonecost.config.lookup import make_attack, make_counter, make_defence, make_device
from clonecost.config.parse import to_toml
from clonecost.config.schema import Spec

LONGEST = 100  # characters of a victim in the name of a folder
SERIES = (0.02, 0.05, 0.1, 0.2, 0.5)  # shares of the budget: the default milestones


def default_milestones(budget: int) -> list[int]:
    """A 2-5-10 series over the last two decades below the budget.

    Example:
        >>> default_milestones(1_000)
        [20, 50, 100, 200, 500]
    """
    return [int(budget * share) for share in SERIES if budget * share >= 1]


def milestones_of(spec: Spec) -> list[int]:
    """The milestones of a spec, else those of its budget."""
    return default_milestones(spec.budget) if spec.milestones is None else spec.milestones


def audits(spec: Spec, parts: Parts, out: Path, command: str = "") -> list[Audit]:
    """The audits of every attack with every seed; several audits get a folder each in `out`.

    Args:
        command: the command line, for the record.
    """
    options, found = run_options(spec), []
    for single, folder in singles(spec, out):
        (name,), (seed,) = single.attack, single.seed
        found.append(Audit(
            victim=parts.victim, threat=parts.threat, attack=make_attack(name, spec.set),
            test=parts.test, out=folder, student=parts.student or OWN_MODEL, proxy=parts.proxy,
            generators=parts.generators, defences=[make_defence(text) for text in spec.defence],
            counter=make_counter(spec.counter),
            milestones=milestones_of(spec), seed=seed, price=spec.price,
            price_characters=spec.price_characters, options=options,
            origin=Origin(attack=name, command=command, spec=to_toml(single)),
        ))  # fmt: skip
    return found


def run_options(spec: Spec) -> RunOptions:
    """The run options of the audits of a spec."""
    return RunOptions(
        device=make_device(spec.device), keep=spec.keep, compile=spec.compile,
        controls=spec.controls, retrain=spec.retrain, retrain_epochs=spec.retrain_epochs,
        snapshot_every=spec.snapshot_every, spot_check=spec.spot_check,
        max_lost=lost_limit(spec), uniform=spec.uniform,
        threads=None if spec.threads == "auto" else spec.threads,
    )  # fmt: skip


def singles(spec: Spec, out: Path) -> list[tuple[Spec, Path]]:
    """Split the spec into runs of one attack and one seed, with their folders."""
    several = len(spec.attack) * len(spec.seed) > 1
    found = []
    for name in spec.attack:
        base = name.partition(":")[0]
        for seed in spec.seed:
            folder = name.replace(":", "-") + (f"-seed{seed}" if len(spec.seed) > 1 else "")
            own = {base: spec.set[base]} if base in spec.set else {}
            single = spec.model_copy(update={"attack": [name], "seed": [seed], "set": own})
            found.append((single, out / folder if several else out))
    return found


def default_out(spec: Spec) -> Path:
    """The default run folder: runs/VICTIM-ATTACKS, and a digest of all other keys not at default.

    The same command finds its own run again, also with a larger budget; another command gets
    another folder. A victim whose name is changed for the folder also gets a digest of its name,
    so that two victims never share a folder.
    """
    plain = _plain(spec.victim)[:LONGEST]
    words = [plain, *([f"panel-{spec.panel}"] if spec.panel else spec.attack)]
    if plain != spec.victim:
        words.insert(1, hashlib.sha256(spec.victim.encode()).hexdigest()[:6])
    others = {k: v for k, v in spec.chosen().items() if k not in ("victim", "attack", "panel")}
    if spec.device == str(make_device("auto")):
        others.pop("device", None)
    if others:
        text = json.dumps(others, sort_keys=True)
        words.append(hashlib.sha256(text.encode()).hexdigest()[:6])
    return Path("runs") / _plain("-".join(words))


def _plain(text: str) -> str:
    """The text in characters that every file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")
