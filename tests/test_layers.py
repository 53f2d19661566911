"""Imports go down only. This table is the architecture; changing it is a design decision."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src" / "clonecost"
LAYERS = [
    {"errors"},
    {"disk", "types"},
    {"features"},
    {"answers", "augmentation", "averages", "chain", "copycat_views", "counted_noise", "data.*",
     "data", "defences.*", "diversity", "drawings", "flight", "kept_inputs", "loops", "losses",
     "networks.*", "networks", "pictures", "precision", "rand_augment", "replay", "result",
     "wasserstein", "zeroth_order"},
    {"choosing", "defences", "distill", "div_gan", "equations", "estimators", "evolution",
     "imitation", "ledger", "report.*", "report", "snapshots", "traffic", "victims.*",
     "victims.endpoints.*", "victims.endpoints", "victims"},
    {"cache", "scouts", "search_record"},
    {"oracle", "zoo", "table_zoo", "generators.*", "generators"},
    {"evaluate", "attacks.base"},
    {"transfer"},
    {"attacks.*", "checks", "controls"},
    {"attacks", "run_folder"},
    {"provenance"},
    {"audit.*", "audit"},
    {"spec.*", "spec"},
    {"serving.*", "serving", "work.*", "work"},
    {"suite.*", "suite"},
    {"console"},
    {"cli.*", "cli"},
]  # fmt: skip
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ANYWHERE = {""}  # the package itself: its version; its public names are loaded on demand


def name_of(path: Path) -> str:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix("__init__").strip(".")


def row_of(module: str) -> str:
    """Every file in a folder shares the folder's `*` row, unless it has its own."""
    name = module if module in RANK else f"{module.rpartition('.')[0]}.*"
    assert name in RANK, f"{module} has no layer"
    return name


def test_every_module_imports_only_lower_ones() -> None:
    for path in ROOT.rglob("*.py"):
        module = name_of(path)
        if module in ANYWHERE | {"__main__"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            target = node.module.removeprefix("clonecost").strip(".")
            if not node.module.startswith("clonecost"):
                continue
            names = [f"{target}.{alias.name}".strip(".") for alias in node.names]
            files = [name for name in names if (ROOT / (name.replace(".", "/") + ".py")).is_file()]
            for found in files or [target]:
                if found in ANYWHERE:
                    continue
                same_folder = found.split(".")[0] == module.split(".")[0]
                lower = RANK[row_of(found)] < RANK[row_of(module)]
                assert lower or same_folder, f"{module} imports {found}"
