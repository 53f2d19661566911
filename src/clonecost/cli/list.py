"""What there is to choose from: names with one line each, for `list` and for shell completion."""

import sys
import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clonecost.victims.zoo.images import VictimRecipe
    from clonecost.victims.zoo.tabular import TableVictim

KINDS = ["attacks", "victims", "datasets", "networks", "defences", "generators", "suites"]

WHITE_BOX = "White box: a reference, not an attack through the API; wants --access white-box."


def names(kind: str) -> Callable[[str], list[str]]:
    """Shell completion from the tables themselves."""

    def complete(begun: str) -> list[str]:
        return [name for name in table(kind) if name.startswith(begun)]

    return complete


def table(kind: str) -> dict[str, str]:
    """Names with one line each."""
    if kind == "attacks":
        from clonecost.attacks import ATTACKS, PROFILES
        from clonecost.attacks.base import reads_network

        found = {}
        for name, attack in ATTACKS.items():
            first = (sys.modules[attack.__module__].__doc__ or "").splitlines()[0]
            profiles = ", ".join(f"{name}:{profile}" for profile in PROFILES[name])
            needs = WHITE_BOX if reads_network(attack) else f"Needs {attack.needs}."
            found[name] = f"{first} {needs} Profiles: {profiles or 'none'}."
        return found
    if kind == "defences":
        from clonecost.defences import DEFENCES

        return {
            name: (sys.modules[part.__module__].__doc__ or "").splitlines()[0]
            for name, part in DEFENCES.items()
        }
    if kind == "victims":
        from clonecost.victims.zoo.images import VICTIMS
        from clonecost.victims.zoo.tabular import TABLE_VICTIMS

        both: dict[str, VictimRecipe | TableVictim] = {**VICTIMS, **TABLE_VICTIMS}
        return {name: recipe.summary for name, recipe in both.items()}
    if kind == "networks":
        from clonecost.networks import NETWORKS

        return {name: card.summary for name, card in NETWORKS.items()}
    if kind == "generators":
        from clonecost.generators import GENERATORS

        return {name: card.summary for name, card in GENERATORS.items()}
    if kind == "suites":
        from clonecost.suite import shipped

        return {name: tomllib.loads(path.read_text(encoding="utf-8"))["title"]
                for name, path in shipped().items()}  # fmt: skip
    from clonecost.data import DATASETS
    from clonecost.data.tables import TABLES

    tables = {name: f"table: {card.summary}" for name, card in TABLES.items()}
    return {name: card.summary for name, card in DATASETS.items()} | tables
