"""What does it cost to clone a classifier through its prediction API?

The public names are loaded on demand: torch takes a second, which `clonecost --help` must not wait.
"""

from typing import TYPE_CHECKING, Any

from clonecost.version import __version__ as __version__

if TYPE_CHECKING:
    from clonecost.attacks import ATTACKS, Attack
    from clonecost.attacks.active_thief import ActiveThief
    from clonecost.attacks.base import AttackerKit
    from clonecost.attacks.black_box_ripper import BlackBoxRipper
    from clonecost.attacks.copycat import Copycat
    from clonecost.attacks.degan import Degan
    from clonecost.attacks.dfme import Dfme
    from clonecost.attacks.dfms import Dfms
    from clonecost.attacks.disguide import Disguide
    from clonecost.attacks.dual_students import DualStudents
    from clonecost.attacks.ex_nihilo import ExNihilo
    from clonecost.attacks.frugal_ripper import FrugalRipper
    from clonecost.attacks.ideal import Ideal
    from clonecost.attacks.jbda import Jbda
    from clonecost.attacks.knockoff import Knockoff
    from clonecost.attacks.knockoff_adaptive import KnockoffAdaptive
    from clonecost.attacks.lowd_meek import LowdMeek
    from clonecost.attacks.marich import Marich
    from clonecost.attacks.maze import Maze
    from clonecost.attacks.maze_pd import MazePd
    from clonecost.attacks.maze_star import MazeStar
    from clonecost.attacks.tramer_adaptive_retrain import TramerAdaptiveRetrain
    from clonecost.attacks.tramer_kernel_lr import TramerKernelLr
    from clonecost.attacks.tramer_lr import TramerLr
    from clonecost.attacks.tramer_mlp import TramerMlp
    from clonecost.attacks.tramer_tree import TramerTree
    from clonecost.attacks.tramer_tree_top_down import TramerTreeTopDown
    from clonecost.attacks.zskd import Zskd
    from clonecost.audit import Audit, RunOptions, Watcher, run_audit
    from clonecost.data import load
    from clonecost.data.tables import load_table, table
    from clonecost.defences import DEFENCES, defend
    from clonecost.defences.rounding import Rounding
    from clonecost.errors import CloneCostError
    from clonecost.generators import ready_generator
    from clonecost.oracle import Oracle
    from clonecost.report import headline
    from clonecost.result import Result
    from clonecost.training.distill import Recipe
    from clonecost.types import Defence, Feature, LabelledInputs, ThreatModel, Victim
    from clonecost.victims import LoadedVictim, sklearn_victim, torch_victim
    from clonecost.victims.zoo.images import zoo_model, zoo_victim
    from clonecost.victims.zoo.tabular import table_victim


_HOME = {
    "ATTACKS": "attacks",
    "ActiveThief": "attacks.active_thief",
    "Attack": "attacks",
    "AttackerKit": "attacks.base",
    "Audit": "audit",
    "BlackBoxRipper": "attacks.black_box_ripper",
    "CloneCostError": "errors",
    "Copycat": "attacks.copycat",
    "DEFENCES": "defences",
    "Defence": "types",
    "Degan": "attacks.degan",
    "Dfme": "attacks.dfme",
    "Dfms": "attacks.dfms",
    "Disguide": "attacks.disguide",
    "DualStudents": "attacks.dual_students",
    "ExNihilo": "attacks.ex_nihilo",
    "Feature": "types",
    "FrugalRipper": "attacks.frugal_ripper",
    "Ideal": "attacks.ideal",
    "Jbda": "attacks.jbda",
    "Knockoff": "attacks.knockoff",
    "KnockoffAdaptive": "attacks.knockoff_adaptive",
    "LabelledInputs": "types",
    "LoadedVictim": "victims",
    "LowdMeek": "attacks.lowd_meek",
    "Marich": "attacks.marich",
    "Maze": "attacks.maze",
    "MazePd": "attacks.maze_pd",
    "MazeStar": "attacks.maze_star",
    "Oracle": "oracle",
    "Recipe": "training.distill",
    "Result": "result",
    "Rounding": "defences.rounding",
    "RunOptions": "audit",
    "ThreatModel": "types",
    "TramerAdaptiveRetrain": "attacks.tramer_adaptive_retrain",
    "TramerKernelLr": "attacks.tramer_kernel_lr",
    "TramerLr": "attacks.tramer_lr",
    "TramerMlp": "attacks.tramer_mlp",
    "TramerTree": "attacks.tramer_tree",
    "TramerTreeTopDown": "attacks.tramer_tree_top_down",
    "Victim": "types",
    "Watcher": "audit",
    "Zskd": "attacks.zskd",
    "defend": "defences",
    "headline": "report",
    "load": "data",
    "load_table": "data.tables",
    "ready_generator": "generators",
    "run_audit": "audit",
    "sklearn_victim": "victims",
    "table": "data.tables",
    "table_victim": "victims.zoo.tabular",
    "torch_victim": "victims",
    "zoo_model": "victims.zoo.images",
    "zoo_victim": "victims.zoo.images",
}

__all__ = [  # the same names, spelt out for type checkers; a test compares the two
    "ATTACKS",
    "DEFENCES",
    "ActiveThief",
    "Attack",
    "AttackerKit",
    "Audit",
    "BlackBoxRipper",
    "CloneCostError",
    "Copycat",
    "Defence",
    "Degan",
    "Dfme",
    "Dfms",
    "Disguide",
    "DualStudents",
    "ExNihilo",
    "Feature",
    "FrugalRipper",
    "Ideal",
    "Jbda",
    "Knockoff",
    "KnockoffAdaptive",
    "LabelledInputs",
    "LoadedVictim",
    "LowdMeek",
    "Marich",
    "Maze",
    "MazePd",
    "MazeStar",
    "Oracle",
    "Recipe",
    "Result",
    "Rounding",
    "RunOptions",
    "ThreatModel",
    "TramerAdaptiveRetrain",
    "TramerKernelLr",
    "TramerLr",
    "TramerMlp",
    "TramerTree",
    "TramerTreeTopDown",
    "Victim",
    "Watcher",
    "Zskd",
    "defend",
    "headline",
    "load",
    "load_table",
    "ready_generator",
    "run_audit",
    "sklearn_victim",
    "table",
    "table_victim",
    "torch_victim",
    "zoo_model",
    "zoo_victim",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'clonecost' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"clonecost.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
