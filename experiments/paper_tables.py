"""The tables of DFME and Black-Box Ripper, cell by cell: measured here, or what it would take.

    python -m experiments.paper_tables > FILE.md

Each cell has the paper's figure, ours with its queries from `suites/results`, and, at the paper's
size, the queries and the operations of passes through the networks with the minutes of a card at
`ASSUMED` speeds. They are assumed and not measured: no card was at hand. `make gpu` measures both.
Trainings of victims and of generators beforehand are not in them, nor the launching of kernels,
for which small networks wait.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from clonecost.attacks.degan import Degan
from clonecost.attacks.knockoff import Knockoff
from clonecost.attacks.zskd import Zskd
from clonecost.config import Spec, make_attack
from clonecost.generators.catalogue import GENERATORS
from clonecost.suite import read_results, read_suite
from clonecost.suite.definition import Cell, cells
from clonecost.suite.results import CellCard
from clonecost.types import Shape
from clonecost.victims.zoo.catalogue import VICTIMS
from experiments.counted_operations import (
    BACKWARD,
    BATCH,
    Operations,
    count,
    networks_of,
    operations_of,
)

SUITES = {
    "data_free": "DFME, table 1", "fmnist": "Black-Box Ripper, table 2",
    "cifar10_alexnet": "Black-Box Ripper, table 1",
}  # fmt: skip
ASSUMED = (20e12, 60e12)  # operations a second: true float32, and TF32 in training
QUERIES, PETA = 1e6, 1e15
RESULTS = Path("suites/results")


def of_generator(name: str, shape: Shape) -> float:
    """Operations of one image of a generator that is trained beforehand."""
    card = GENERATORS[name.partition(":")[0]]
    with torch.random.fork_rng(devices=[]):
        network = card.family.build(card.recipe, shape, 0)
        drawn = getattr(network, "decoder", network)
        return operations_of(drawn, torch.randn(BATCH, card.family.latent_dim))


def operations(spec: Spec) -> Operations | None:
    """Those of one audit; None: they are not counted for this attack."""
    (written,) = spec.attack
    attack = make_attack(written, spec.set)
    victim = VICTIMS[spec.victim]
    if spec.student is None or isinstance(attack, Degan):  # most of it is a GAN's training
        return None
    generator = getattr(attack, "generator", None)
    drawn = of_generator(generator, victim.input_shape) if generator else None
    networks = networks_of(attack, victim.network, spec.student, victim.input_shape, drawn)
    if isinstance(attack, Zskd):  # an impression: passes forward and back to the input, per step
        steps = attack.impressions * attack.steps * 2 * networks.victim
        taught = attack.impressions * attack.epochs * (1 + BACKWARD) * networks.student
        return Operations(0.0, steps + taught)
    if isinstance(attack, Knockoff):
        taught = attack.clone_epochs("scratch") * (1 + BACKWARD) * networks.student
        return Operations(0.0, spec.budget * (networks.victim + taught))
    return count(attack, networks, spec.budget, [spec.budget])


def rows(suite_name: str) -> Iterator[tuple[str, ...]]:
    """Table rows: column, attack, paper, measured here, at the paper's size."""
    suite = read_suite(Path("suites") / f"{suite_name}.toml")
    here = read_results(RESULTS / f"{suite_name}-cpu.json")
    for cell in cells(suite, "paper"):
        paper = cell.row.paper.get(cell.column.name)
        if paper is None or cell.row.teacher:
            continue
        figure = f"{paper} %" if not isinstance(paper, list) else f"{paper[0]} ± {paper[1]} %"
        found = here.cell(cell.row.name, cell.column.name)
        yield cell.column.title, cell.row.title, figure, measured(found), estimate(cell)


def measured(cell: CellCard) -> str:
    if not cell.runs or cell.accuracy is None or cell.queries is None:
        return "–"
    queries = f"{cell.queries.mean:,.0f} queries" if cell.queries.mean else "white box"
    return f"{100 * cell.accuracy.mean:.1f} % ({queries}, {len(cell.seeds)} seeds)"


def estimate(cell: Cell) -> str:
    if cell.spec is None or cell.not_run:
        return f"– ({cell.not_run})"
    queries = cell.spec.budget
    found = operations(cell.spec)
    asked = f"{short(queries / QUERIES)} M queries" if queries else "no query"
    if found is None:
        return f"{asked}; passes are not counted"
    minutes = found.seconds(*ASSUMED) / 60
    whole = (found.exact + found.training) / PETA
    time = f"about {short(minutes, 2)} min" if minutes >= 1 else "less than 1 min"
    return f"{asked}, {short(whole)}·10^15 operations, {time}"


def short(value: float, digits: int = 3) -> str:
    """So many digits that count: 0.0123, 12.8, 1,230."""
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def main() -> None:
    for name, table in SUITES.items():
        print(f"\n## {table} (suite `{name}`)\n")
        print("| victim, data | attack | paper | measured here, accuracy | at the paper's size |")
        print("|---|---|---|---|---|")
        for row in rows(name):
            print("| " + " | ".join(part.replace("*", "\\*") for part in row) + " |")


if __name__ == "__main__":
    main()
